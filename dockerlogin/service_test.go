package dockerlogin

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// variables are what the environment says of endpoints.
type variables struct {
	own             map[string]string
	fips, dualStack bool
	err             error
}

func (v variables) GetServiceBaseEndpoint(_ context.Context, id string) (string, bool, error) {
	value, found := v.own[id]
	return value, found, v.err
}

func (v variables) GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error) {
	if v.fips {
		return aws.FIPSEndpointStateEnabled, true, nil
	}
	return aws.FIPSEndpointStateDisabled, true, nil
}

func (v variables) GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error) {
	if v.dualStack {
		return aws.DualStackEndpointStateEnabled, true, nil
	}
	return aws.DualStackEndpointStateDisabled, true, nil
}

// That the hosts are those of AWS's SDK in all partitions is compared in e2e, TestHostsOfECR.
func TestEndpoint(t *testing.T) {
	for name, row := range map[string]struct {
		service   service
		region    string
		base      *string
		variables variables
		want      string
	}{
		"plain":                    {service: ecr(), region: "eu-west-1", want: "https://api.ecr.eu-west-1.amazonaws.com"},
		"FIPS":                     {service: ecr(), region: "us-gov-west-1", variables: variables{fips: true}, want: "https://api.ecr-fips.us-gov-west-1.amazonaws.com"},
		"dual-stack in China":      {service: ecr(), region: "cn-north-1", variables: variables{dualStack: true}, want: "https://ecr.cn-north-1.api.amazonwebservices.com.cn"},
		"public":                   {service: ecrPublic(), region: "us-east-1", want: "https://api.ecr-public.us-east-1.amazonaws.com"},
		"public, dual-stack":       {service: ecrPublic(), region: "us-east-1", variables: variables{dualStack: true}, want: "https://ecr-public.us-east-1.api.aws"},
		"all services' endpoint":   {service: ecr(), region: "eu-west-1", base: aws.String("http://127.0.0.1:1"), want: "http://127.0.0.1:1"},
		"its own one":              {service: ecr(), region: "eu-west-1", base: aws.String("http://127.0.0.1:1"), variables: variables{own: map[string]string{"ECR": "http://127.0.0.1:2"}}, want: "http://127.0.0.1:2"},
		"the other service's one":  {service: ecr(), region: "eu-west-1", variables: variables{own: map[string]string{"ECR PUBLIC": "http://127.0.0.1:2"}}, want: "https://api.ecr.eu-west-1.amazonaws.com"},
		"the public service's one": {service: ecrPublic(), region: "us-east-1", variables: variables{own: map[string]string{"ECR PUBLIC": "http://127.0.0.1:2"}}, want: "http://127.0.0.1:2"},
	} {
		config := aws.Config{BaseEndpoint: row.base, ConfigSources: []any{"of another kind", row.variables}}
		if got, err := row.service.endpoint(t.Context(), config, region(t, row.region)); err != nil || got != row.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, row.want)
		}
	}
	config := aws.Config{ConfigSources: []any{variables{err: errors.New("broken")}}}
	if _, err := ecr().endpoint(t.Context(), config, region(t, "eu-west-1")); err == nil {
		t.Error("a broken source was not told")
	}
}
