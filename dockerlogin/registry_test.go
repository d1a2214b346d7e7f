package dockerlogin

import (
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
)

// All forms of registry names that AWS documents, and the Region whose authorization tokens are valid for them.
func TestParseRegistry(t *testing.T) {
	for item, row := range map[string]struct {
		home, region string
		host         string // "" if it is the item
	}{
		"123456789012": {"eu-central-1", "eu-central-1", "123456789012.dkr.ecr.eu-central-1.amazonaws.com"},
		"000000000001": {"eusc-de-east-1", "eusc-de-east-1", "000000000001.dkr.ecr.eusc-de-east-1.amazonaws.eu"},
		"210987654321": {"cn-north-1", "cn-north-1", "210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn"},
		// With a scheme, or a repository.
		"https://" + host + "/":              {"eu-central-1", "us-east-1", host},
		host + "/a/b:tag":                    {"eu-central-1", "us-east-1", host},
		"https://public.ecr.aws/alias/app:1": {"eu-central-1", "us-east-1", "public.ecr.aws"},
		// All partitions, FIPS, and dual-stack.
		"123456789012.dkr.ecr.us-west-2.amazonaws.com":                {"eu-central-1", "us-west-2", ""},
		"123456789012.dkr.ecr-fips.us-east-2.amazonaws.com":           {"eu-central-1", "us-east-2", ""},
		"123456789012.dkr-ecr.eu-west-3.on.aws":                       {"eu-central-1", "eu-west-3", ""},
		"123456789012.dkr-ecr-fips.us-east-1.on.aws":                  {"eu-central-1", "us-east-1", ""},
		"123456789012.dkr.ecr.cn-northwest-1.amazonaws.com.cn":        {"cn-north-1", "cn-northwest-1", ""},
		"123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn": {"cn-north-1", "cn-north-1", ""},
		"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com":       {"us-gov-east-1", "us-gov-west-1", ""},
		"123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov":               {"us-iso-east-1", "us-iso-east-1", ""},
		"123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov":           {"us-isob-east-1", "us-isob-east-1", ""},
		"123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk":          {"eu-isoe-west-1", "eu-isoe-west-1", ""},
		"123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov":         {"us-isof-south-1", "us-isof-south-1", ""},
		"public.ecr.aws":     {"eu-central-1", "us-east-1", ""},
		"ecr-public.aws.com": {"us-east-1", "us-east-1", ""},
	} {
		t.Run(item, func(t *testing.T) {
			want := row.host
			if want == "" {
				want = item
			}
			registry, err := ParseRegistry(item, region(t, row.home))
			if err != nil || registry.String() != want || registry.issuer.region.String() != row.region ||
				registry.issuer.isPublic != strings.Contains(item, "public") {
				t.Errorf("got %+v, %v", registry, err)
			}
		})
	}
}

func TestParseRegistryErrors(t *testing.T) {
	const form = "must be an account ID (12 digits), a registry's host such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com, " +
		"or public.ecr.aws, got "
	for item, want := range map[string]string{
		"12345678901":   form + `"12345678901"`,
		"docker.io":     form + `"docker.io"`,
		"ghcr.io/x/app": form,
		"http://123456789012.dkr.ecr.us-east-1.amazonaws.com":       form,
		"123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example": form,
		"123456789012.dkr.ecr.us-east-1.evil.example":               form,
		"123456789012.dkr.ecr.us-east-1.amazonaws.com:443":          form,
		"user@123456789012.dkr.ecr.us-east-1.amazonaws.com":         form,
		"x123456789012.dkr.ecr.us-east-1.amazonaws.com":             form,
		"123456789012.dkr.ecr.us-east.amazonaws.com":                form,
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com":             form, // the China partition has another suffix
		"123456789012.dkr.ecr.us-east-1.amazonaws.com.cn":           form,
		"123456789012.dkr-ecr.us-east-1.amazonaws.com":              form, // dual-stack hosts have another suffix
		"123456789012.dkr.ecr.us-east-1.on.aws":                     form,
		"123456789012.dkr.ecr.US-EAST-1.amazonaws.com":              form,
		"public.ecr.aws.evil.example":                               form,
	} {
		t.Run(item, func(t *testing.T) {
			if registry, err := ParseRegistry(item, region(t, "eu-central-1")); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %+v, %v; want %q", registry, err, want)
			}
		})
	}
}

func TestString(t *testing.T) {
	if got := OwnRegistry(region(t, "eu-west-1")).String(); got != "the account's own registry in eu-west-1" {
		t.Errorf("got %q", got)
	}
}

func TestRegistryURL(t *testing.T) {
	for url, want := range map[string]string{
		"https://" + host:        host,
		"http://127.0.0.1:5000/": "127.0.0.1:5000",
		"https://[::1]:65535":    "[::1]:65535",
		"https://[2001:DB8::1]":  "[2001:DB8::1]",
		// More than a host, or none.
		"": "", host: "", "ftp://" + host: "", " https://x": "", "https://": "", "https://a@b": "", "https://x?y": "",
		"https://x/y": "", "https://x//": "", "https://x:": "", "https://x:123456": "",
		"https://[::1": "", "https://x_y": "", "https://x%20y": "", "https://x\n": "",
	} {
		t.Run(url, func(t *testing.T) {
			got := append(registryURL.FindStringSubmatch(url), "", "")[1]
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func FuzzParseRegistry(f *testing.F) {
	for _, seed := range []string{
		"", "123456789012", host, "https://" + host + "/x", "public.ecr.aws", "123456789012.dkr-ecr.us-east-1.on.aws",
		"123456789012.dkr.ecr.-.c2s.ic.gov",
	} {
		f.Add(seed, "us-east-1")
		f.Add(seed, "cn-north-1")
	}
	f.Fuzz(func(t *testing.T, item, home string) {
		homeRegion, err := awsid.ParseRegion(home)
		if err != nil {
			return
		}
		registry, err := ParseRegistry(item, homeRegion)
		if err != nil {
			if len(err.Error()) > 1000+4*len(item)+4*len(home) {
				t.Errorf("got an error of %d bytes", len(err.Error()))
			}
			return
		}
		name := registry.String()
		if strings.ContainsAny(name, "/@?: \n") || !strings.Contains(item+"."+home, strings.Split(name, ".")[0]) {
			t.Errorf("%q was parsed as the registry %q", item, name)
		}
		if again, err := ParseRegistry(name, homeRegion); err != nil || again.host != registry.host || again.issuer != registry.issuer {
			t.Errorf("%q was parsed as %+v, %v", name, again, err)
		}
	})
}
