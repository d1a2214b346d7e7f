package dockerlogin

import (
	"errors"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// There is one endpoint for each call that Logins makes.
func TestEndpoints(t *testing.T) {
	home := region(t, "eu-west-1")
	registries := []Registry{OwnRegistry(home)}
	for _, item := range []string{"123456789012", "210987654321.dkr.ecr.us-east-2.amazonaws.com", "public.ecr.aws", "123456789012.dkr.ecr.us-east-2.amazonaws.com"} {
		registry, err := ParseRegistry(item, home)
		if err != nil {
			t.Fatal(err)
		}
		registries = append(registries, registry)
	}
	want := []string{"https://api.ecr.eu-west-1.amazonaws.com", "https://api.ecr.us-east-2.amazonaws.com", "https://api.ecr-public.us-east-1.amazonaws.com"}
	if got := Endpoints(t.Context(), aws.Config{}, registries); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	broken := aws.Config{ConfigSources: []any{variables{err: errors.New("broken")}}}
	if got := Endpoints(t.Context(), broken, registries); len(got) != 0 {
		t.Errorf("a source that is broken leads to %v", got)
	}
}
