// Package kubernetes holds the type of a resource's inputs in documents of YAML.
package kubernetes

import "reflect"

// UntypedArgs are the inputs of a resource of any kind.
type UntypedArgs map[string]any

// ElementType returns the type of the inputs' values.
func (UntypedArgs) ElementType() reflect.Type { return reflect.TypeFor[map[string]any]() }
