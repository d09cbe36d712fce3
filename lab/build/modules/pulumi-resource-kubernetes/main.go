// Command pulumi-resource-kubernetes is the Kubernetes provider 4.25.0 from its own module. The
// module's main package embeds files that its release process writes and the module does not carry;
// the lab's build copies their sources beside this file first.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
)

//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var terraformMapping []byte

func main() {
	provider.Serve("kubernetes", "4.25.0", schema, terraformMapping)
}
