"""What will happen, and what comes next: pure functions over definitions and a frozen view of the catalog."""
