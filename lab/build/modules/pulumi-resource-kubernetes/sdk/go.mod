// What the Kubernetes provider uses of its own Go SDK. The SDK has a type for each kind of each API: 66 packages that
// take longer to compile than the provider itself, for a function that only needs a kind's name.
module github.com/pulumi/pulumi-kubernetes/sdk/v4

go 1.26

require github.com/pulumi/pulumi/sdk/v3 v3.215.0
