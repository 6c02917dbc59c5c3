module triggerd/packaging/sbom

go 1.26.0
