"""What a CNI runtime does: configurations, results, plugin runs. Knows no Docker and no Kubernetes."""
