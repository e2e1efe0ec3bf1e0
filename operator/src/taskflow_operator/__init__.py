"""TaskFlow's Kubernetes operator: the home of the `TaskFlow` resource and of all that governs a flow."""
