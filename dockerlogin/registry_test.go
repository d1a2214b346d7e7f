package dockerlogin

import (
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
)

// Every form of a registry's name that AWS documents, and the Region whose ECR opens it.
func TestParseRegistry(t *testing.T) {
	for item, want := range map[string]struct{ home, host, region string }{
		"123456789012": {"eu-central-1", "123456789012.dkr.ecr.eu-central-1.amazonaws.com", "eu-central-1"},
		"000000000001": {"eusc-de-east-1", "000000000001.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"},
		"210987654321": {"cn-north-1", "210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"},
		"123456789012.dkr.ecr.us-west-2.amazonaws.com":                {"eu-central-1", "123456789012.dkr.ecr.us-west-2.amazonaws.com", "us-west-2"},
		"https://123456789012.dkr.ecr.us-west-2.amazonaws.com/":       {"eu-central-1", "123456789012.dkr.ecr.us-west-2.amazonaws.com", "us-west-2"},
		"123456789012.dkr.ecr.us-west-2.amazonaws.com/a/b:tag":        {"eu-central-1", "123456789012.dkr.ecr.us-west-2.amazonaws.com", "us-west-2"},
		"123456789012.dkr.ecr-fips.us-east-2.amazonaws.com":           {"eu-central-1", "123456789012.dkr.ecr-fips.us-east-2.amazonaws.com", "us-east-2"},
		"123456789012.dkr-ecr.eu-west-3.on.aws":                       {"eu-central-1", "123456789012.dkr-ecr.eu-west-3.on.aws", "eu-west-3"},
		"123456789012.dkr-ecr-fips.us-east-1.on.aws":                  {"eu-central-1", "123456789012.dkr-ecr-fips.us-east-1.on.aws", "us-east-1"},
		"123456789012.dkr.ecr.cn-northwest-1.amazonaws.com.cn":        {"cn-north-1", "123456789012.dkr.ecr.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"},
		"123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn": {"cn-north-1", "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1"},
		"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com":       {"us-gov-east-1", "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
		"123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov":               {"us-iso-east-1", "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
		"123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov":           {"us-isob-east-1", "123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
		"123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk":          {"eu-isoe-west-1", "123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"},
		"123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov":         {"us-isof-south-1", "123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"},
		"public.ecr.aws":                     {"eu-central-1", "public.ecr.aws", "us-east-1"},
		"https://public.ecr.aws/alias/app:1": {"eu-central-1", "public.ecr.aws", "us-east-1"},
		"ecr-public.aws.com":                 {"us-east-1", "ecr-public.aws.com", "us-east-1"},
	} {
		registry, err := ParseRegistry(item, region(t, want.home))
		if err != nil || registry.String() != want.host || registry.region.String() != want.region || registry.public != strings.Contains(item, "public") {
			t.Errorf("%s: %+v, %v", item, registry, err)
		}
	}
}

func TestParseRegistryRefuses(t *testing.T) {
	const form = "an account ID of 12 digits, a registry's host such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com, or public.ecr.aws wanted, "
	for item, want := range map[string]string{
		"12345678901":   form + `"12345678901" found`,
		"docker.io":     form + `"docker.io" found`,
		"ghcr.io/x/app": form,
		"http://123456789012.dkr.ecr.us-east-1.amazonaws.com":       form,
		"123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example": form,
		"123456789012.dkr.ecr.us-east-1.evil.example":               form,
		"123456789012.dkr.ecr.us-east-1.amazonaws.com:443":          form,
		"user@123456789012.dkr.ecr.us-east-1.amazonaws.com":         form,
		"x123456789012.dkr.ecr.us-east-1.amazonaws.com":             form,
		"123456789012.dkr.ecr.us-east.amazonaws.com":                form,
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com":             form, // it has another suffix
		"123456789012.dkr.ecr.us-east-1.amazonaws.com.cn":           form,
		"123456789012.dkr-ecr.us-east-1.amazonaws.com":              form, // the dual-stack one has a suffix of its own
		"123456789012.dkr.ecr.us-east-1.on.aws":                     form,
		"123456789012.dkr.ecr.US-EAST-1.amazonaws.com":              form,
		"public.ecr.aws.evil.example":                               form,
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":          "is in the partition aws-cn, and the Region eu-central-1 (input region) in aws",
		"123456789012.dkr.ecr.us-gov-west-1.amazonaws.com":          "is in the partition aws-us-gov",
		strings.Repeat("x", 5000):                                   strings.Repeat("x", 100) + `…" found`,
	} {
		registry, err := ParseRegistry(item, region(t, "eu-central-1"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: %+v, %v", item, registry, err)
		}
	}
	if _, err := ParseRegistry("public.ecr.aws", region(t, "cn-north-1")); err == nil || !strings.Contains(err.Error(), "there is no ECR Public in the partition aws-cn") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseRegistry(f *testing.F) {
	for _, seed := range []string{"", "123456789012", host, "https://" + host + "/x", "public.ecr.aws", "123456789012.dkr-ecr.us-east-1.on.aws", "123456789012.dkr.ecr.-.c2s.ic.gov"} {
		f.Add(seed, "us-east-1")
		f.Add(seed, "cn-north-1")
	}
	f.Fuzz(func(t *testing.T, item, home string) {
		region, err := awsid.ParseRegion(home)
		if err != nil {
			return
		}
		registry, err := ParseRegistry(item, region)
		if err != nil {
			if len(err.Error()) > 1000+4*len(home) {
				t.Errorf("an error of %d characters", len(err.Error()))
			}
			return
		}
		name := registry.String()
		if strings.ContainsAny(name, "/@?: \n") || !strings.Contains(item+"."+home, strings.Split(name, ".")[0]) {
			t.Errorf("%q is the registry %q", item, name)
		}
		if again, err := ParseRegistry(name, region); err != nil || again.host != registry.host || again.region != registry.region {
			t.Errorf("%q, read again, is %+v, %v", name, again, err)
		}
	})
}

func FuzzParseEndpoint(f *testing.F) {
	for _, seed := range []string{"", "https://" + host, "http://127.0.0.1:5000/", "https://a@b", "//x", "https://[::1]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, err := parseEndpoint(in)
		if err == nil && (host == "" || !strings.Contains(in, host) || strings.ContainsAny(host, "/@? ")) {
			t.Errorf("%q is the registry %q", in, host)
		}
	})
}
