// Package azureservicebus reads queues of Azure Service Bus (server.md 11.2).
package azureservicebus
