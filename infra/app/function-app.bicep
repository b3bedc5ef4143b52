// The app on Flex Consumption: nothing runs and nothing costs while no run is under way.

@description('Name of the function app.')
param name string

@description('Name of its plan.')
param planName string

@description('Azure region.')
param location string

@description('Tags of the resources.')
param tags object

@description('Resource id of the identity the app runs as.')
param identityId string

@description('Client id of the same identity: the name it goes by in settings.')
param identityClientId string

@description('The storage account, by name.')
param storageAccountName string

@description('Address of its blobs.')
param blobEndpoint string

@description('Container for the deployment package.')
param deploymentContainerName string

@description('Where telemetry goes. It names a place and is no secret: sending takes the identity.')
param insightsConnectionString string

@description('Python version.')
param pythonVersion string

@description('Memory of one instance in MB.')
param instanceMemoryMB int

@description('Most instances at once.')
param maximumInstanceCount int

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  // azd finds the app by this tag; it is the name of the service in azure.yaml.
  tags: union(tags, {
    'azd-service-name': 'app'
  })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${blobEndpoint}${deploymentContainerName}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      appSettings: [
        // The host's and the Durable extension's storage, as the identity: no connection string.
        {
          name: 'AzureWebJobsStorage__accountName'
          value: storageAccountName
        }
        {
          name: 'AzureWebJobsStorage__credential'
          value: 'managedidentity'
        }
        {
          name: 'AzureWebJobsStorage__clientId'
          value: identityClientId
        }
        // The app's own storage, as the same identity; AZURE_CLIENT_ID tells the Azure libraries which one.
        {
          name: 'TIDEMILL_STORAGE'
          value: blobEndpoint
        }
        {
          name: 'AZURE_CLIENT_ID'
          value: identityClientId
        }
        {
          name: 'APPLICATIONINSIGHTS_CONNECTION_STRING'
          value: insightsConnectionString
        }
        {
          name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING'
          value: 'ClientId=${identityClientId};Authorization=AAD'
        }
        // Messages between orchestrators and activities are plain JSON; anything else is refused where it is made.
        {
          name: 'AZURE_FUNCTIONS_DURABLE_STRICT_TYPING'
          value: '1'
        }
        // Activities are plain functions on the worker's threads, and mostly wait for storage.
        {
          name: 'PYTHON_THREADPOOL_THREAD_COUNT'
          value: '16'
        }
        {
          name: 'MALLOC_ARENA_MAX'
          value: '2'
        }
      ]
    }
  }
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
