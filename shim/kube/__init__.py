"""What Kubernetes says and is told. The only importer of `kubernetes`, which it loads when first used."""
