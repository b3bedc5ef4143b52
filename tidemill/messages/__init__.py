"""What crosses between orchestrators and activities. History is a wire protocol with a very slow reader: next month's deployment."""
