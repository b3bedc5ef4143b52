// Everything one Tidemill needs: a function app that scales to zero, one storage account, one identity, and its telemetry.
// No secret exists anywhere: the identity is the only way in, and the account's shared keys are switched off.
targetScope = 'subscription'

@minLength(1)
@maxLength(40)
@description('Name of this environment; part of every resource name. azd asks for it.')
param environmentName string

@minLength(1)
@description('Azure region of every resource. It must offer Flex Consumption.')
param location string

@allowed([
  '3.11'
  '3.12'
  '3.13'
])
@description('Python that runs the app. The lock file is made for 3.11 and newer.')
param pythonVersion string = '3.11'

@allowed([
  512
  2048
  4096
])
@description('Memory of one instance in MB. 2048 holds the frames of the example pipeline with room to spare.')
param instanceMemoryMB int = 2048

@minValue(1)
@maxValue(1000)
@description('How far the app may scale out.')
param maximumInstanceCount int = 100

@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GRS'
  'Standard_GZRS'
])
@description('Replication of the storage account, which holds every dataset and the whole history.')
param storageSku string = 'Standard_ZRS'

@description('Object id of a person or group that may read the datasets directly. azd fills in whoever deploys; empty for nobody.')
param readerPrincipalId string = ''

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = {
  'azd-env-name': environmentName
}

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'core/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-${token}'
    location: location
    tags: tags
  }
}

module storage 'core/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: 'st${token}'
    location: location
    tags: tags
    sku: storageSku
  }
}

module monitoring 'core/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspaceName: 'log-${token}'
    insightsName: 'appi-${token}'
    location: location
    tags: tags
  }
}

module roles 'core/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    storageAccountName: storage.outputs.name
    insightsName: monitoring.outputs.insightsName
    appPrincipalId: identity.outputs.principalId
    readerPrincipalId: readerPrincipalId
  }
}

module app 'app/function-app.bicep' = {
  name: 'app'
  scope: group
  // The platform reads the deployment package as this identity, so its roles come first.
  dependsOn: [
    roles
  ]
  params: {
    name: 'func-${token}'
    planName: 'plan-${token}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageAccountName: storage.outputs.name
    blobEndpoint: storage.outputs.blobEndpoint
    deploymentContainerName: storage.outputs.deploymentContainerName
    insightsConnectionString: monitoring.outputs.insightsConnectionString
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
  }
}

output AZURE_LOCATION string = location
output AZURE_RESOURCE_GROUP string = group.name
output TIDEMILL_APP_NAME string = app.outputs.name
output TIDEMILL_URL string = app.outputs.url
output TIDEMILL_STORAGE string = storage.outputs.blobEndpoint
