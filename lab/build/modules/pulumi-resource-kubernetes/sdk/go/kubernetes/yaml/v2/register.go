// Package v2 registers the resources of ConfigFile, ConfigGroup and Chart.
package v2

import (
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

type resource struct{ pulumi.CustomResourceState }

// RegisterResource registers a resource of any kind. The SDK's function of this name chooses a Go type by the kind,
// for callers that read the resource's outputs; the provider does not. Each of the SDK's 157 kinds has the type token
// that is made here.
func RegisterResource(
	ctx *pulumi.Context, apiVersion, kind, name string, props pulumi.Input, opts ...pulumi.ResourceOption,
) (pulumi.CustomResource, error) {
	if !strings.Contains(apiVersion, "/") {
		apiVersion = "core/" + apiVersion
	}
	made := &resource{}
	if err := ctx.RegisterResource("kubernetes:"+apiVersion+":"+kind, name, props, made, opts...); err != nil {
		return nil, err
	}
	return made, nil
}
