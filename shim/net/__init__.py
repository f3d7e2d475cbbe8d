"""Network namespaces and the links in them. The only importer of pyroute2."""
