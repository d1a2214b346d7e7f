package step

import (
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// environmentOf returns an environment of KEY=VALUE entries.
func environmentOf(environ []string) Environment {
	environment := Environment{}
	for _, entry := range environ {
		key, value, _ := strings.Cut(entry, "=")
		environment[key] = value
	}
	return environment
}

func TestCheckVariables(t *testing.T) {
	const registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
	region, err := awsid.ParseRegion("us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	name, err := profile.ParseName("bitrise")
	if err != nil {
		t.Fatal(err)
	}
	plainRun := staged{config: Config{Region: region}}
	profileRun := staged{
		config: Config{Region: region, Profile: name},
		files:  files{config: profile.ConfigFile{Path: "/home/user/.aws/config", Credentials: "/home/user/.aws/credentials"}},
	}
	dockerRun := staged{
		config: Config{Region: region}, registries: []string{registry},
		files: files{docker: "/home/user/.docker/config.json"},
	}

	tests := []struct {
		name    string
		environ []string
		run     staged
		output  string // KEY=VALUE
		warns   string
		note    string
	}{
		{name: "nothing is set", run: plainRun},
		{name: "nothing is set, with a profile", run: profileRun},
		{name: "variables without an effect", run: plainRun, environ: []string{
			"AWS_CREDENTIAL_FILE=/etc/keys", "BOTO_CONFIG=/etc/boto", "AWS_EC2_METADATA_DISABLED=true", "AWS_ROLE_ARN=arn", "AWS_SDK_LOAD_CONFIG=1",
			"AWS_CREDENTIAL_EXPIRATION=2020-01-01T00:00:00Z", "AWS_ACCESS_KEY=a", "AWS_SECRET_KEY=b",
			"AWS_CONFIG_FILE=", "AWS_SHARED_CREDENTIALS_FILE=",
		}},

		{name: "empty profile name", environ: []string{"AWS_PROFILE="}, run: plainRun, warns: "AWS_PROFILE is set but empty"},
		{name: "another profile", environ: []string{"AWS_PROFILE=mine"}, run: plainRun, warns: `AWS_PROFILE is set to "mine"`},
		{name: "the last entry counts", environ: []string{"AWS_PROFILE=", "AWS_PROFILE=mine"}, run: plainRun, warns: `AWS_PROFILE is set to "mine"`},
		{name: "another profile, replaced", environ: []string{"AWS_PROFILE=mine"}, run: profileRun},

		{name: "empty default profile", environ: []string{"AWS_DEFAULT_PROFILE="}, run: plainRun, warns: "AWS_DEFAULT_PROFILE is set but empty"},
		{name: "another default profile", environ: []string{"AWS_DEFAULT_PROFILE=mine"}, run: plainRun, warns: `AWS_DEFAULT_PROFILE is set to "mine"`},
		{
			name: "empty default profile, with a profile", environ: []string{"AWS_DEFAULT_PROFILE="}, run: profileRun,
			output: "AWS_DEFAULT_PROFILE=bitrise", note: `AWS_DEFAULT_PROFILE was "" and is also set to "bitrise"`,
		},
		{
			name: "another default profile, with a profile", environ: []string{"AWS_DEFAULT_PROFILE=mine"}, run: profileRun,
			output: "AWS_DEFAULT_PROFILE=bitrise", note: `AWS_DEFAULT_PROFILE was "mine"`,
		},
		{name: "the same default profile", environ: []string{"AWS_DEFAULT_PROFILE=bitrise"}, run: profileRun},

		{
			name: "old session token", environ: []string{"AWS_SECURITY_TOKEN=old"}, run: plainRun,
			note: "AWS_SECURITY_TOKEN is also set to the session token",
		},
		{
			name: "old session token, with a profile", environ: []string{"AWS_SECURITY_TOKEN=old"}, run: profileRun,
			note: "AWS_SECURITY_TOKEN is also set to the session token",
		},
		{name: "empty old session token", environ: []string{"AWS_SECURITY_TOKEN="}, run: plainRun},

		{name: "web identity", environ: []string{"AWS_WEB_IDENTITY_TOKEN_FILE=/token", "AWS_ROLE_ARN=arn"}, run: plainRun},
		{name: "web identity, with a profile", environ: []string{"AWS_WEB_IDENTITY_TOKEN_FILE=/token"}, run: profileRun, warns: `AWS_WEB_IDENTITY_TOKEN_FILE is set to "/token"`},
		{
			name: "empty web identity and a role, with a profile", environ: []string{"AWS_WEB_IDENTITY_TOKEN_FILE=", "AWS_ROLE_ARN="}, run: profileRun,
			warns: "AWS_WEB_IDENTITY_TOKEN_FILE is set but empty, and AWS_ROLE_ARN is set",
		},
		{name: "empty web identity, with a profile", environ: []string{"AWS_WEB_IDENTITY_TOKEN_FILE="}, run: profileRun},

		{name: "old keys", environ: []string{"AWS_ACCESS_KEY=a", "AWS_SECRET_KEY=b"}, run: profileRun, warns: "AWS_ACCESS_KEY and AWS_SECRET_KEY are set"},
		{name: "half an old key", environ: []string{"AWS_ACCESS_KEY=a"}, run: profileRun},
		{name: "empty old keys", environ: []string{"AWS_ACCESS_KEY=", "AWS_SECRET_KEY=b"}, run: profileRun},
		{
			name: "empty config file", environ: []string{"AWS_CONFIG_FILE="}, run: profileRun,
			output: "AWS_CONFIG_FILE=/home/user/.aws/config", note: "AWS_CONFIG_FILE was empty and is now the default path",
		},
		{
			name: "empty credentials file", environ: []string{"AWS_SHARED_CREDENTIALS_FILE="}, run: profileRun,
			output: "AWS_SHARED_CREDENTIALS_FILE=/home/user/.aws/credentials", note: "AWS_SHARED_CREDENTIALS_FILE was empty and is now the default path",
		},
		{name: "other files", environ: []string{"AWS_CONFIG_FILE=/a", "AWS_SHARED_CREDENTIALS_FILE=/b"}, run: profileRun},

		{
			name: "Docker login in the variable", environ: []string{`DOCKER_AUTH_CONFIG={"auths":{"` + registry + `":{"auth":"c2VjcmV0"}}}`}, run: dockerRun,
			warns: "DOCKER_AUTH_CONFIG has a login for " + registry,
		},
		{name: "Docker login elsewhere", environ: []string{`DOCKER_AUTH_CONFIG={"auths":{"docker.io":{"auth":"c2VjcmV0"}}}`}, run: dockerRun},
		{name: "no Docker login", environ: []string{`DOCKER_AUTH_CONFIG={"auths":{"` + registry + `":{"auth":"c2VjcmV0"}}}`}, run: plainRun},
		{name: "Docker ignores what is not JSON", environ: []string{"DOCKER_AUTH_CONFIG=c2VjcmV0"}, run: dockerRun},
		{name: "Podman reads another file", environ: []string{"REGISTRY_AUTH_FILE=/auth.json"}, run: dockerRun, warns: `REGISTRY_AUTH_FILE is set to "/auth.json"`},
		{name: "Podman reads Docker's file", environ: []string{"REGISTRY_AUTH_FILE=/home/user/.docker//config.json"}, run: dockerRun},
		{name: "Podman reads another file, but no login", environ: []string{"REGISTRY_AUTH_FILE=/auth.json"}, run: plainRun},

		{name: "another Region", environ: []string{"AWS_REGION=eu-west-3"}, run: plainRun, note: `AWS_REGION was "eu-west-3" and is now "us-east-1"`},
		{name: "another default Region", environ: []string{"AWS_DEFAULT_REGION=eu-west-3"}, run: profileRun, note: `AWS_DEFAULT_REGION was "eu-west-3"`},
		{name: "the same Region", environ: []string{"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION="}, run: plainRun},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := test.run
			got.checkVariables(environmentOf(test.environ))

			var outputs []string
			for _, out := range got.outputs {
				outputs = append(outputs, out.key+"="+out.value.Reveal())
				if out.isSensitive {
					t.Errorf("output %s: got sensitive %t", out.key, out.isSensitive)
				}
			}
			checkOne(t, "outputs", outputs, test.output)
			checkOne(t, "warnings", got.warnings, test.warns)
			checkOne(t, "notes", got.notes, test.note)
			for _, line := range slices.Concat(got.warnings, got.notes) {
				if strings.Contains(line, "secret@") || strings.Contains(line, "/secret") || strings.Contains(line, "c2VjcmV0") {
					t.Errorf("%q contains a secret", line)
				}
			}
		})
	}
}

// checkOne checks that a list has one element that contains want, or no elements if want is "".
func checkOne(t *testing.T, what string, list []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(list) > 0:
		t.Errorf("%s: got %q, want none", what, list)
	case want != "" && (len(list) != 1 || !strings.Contains(list[0], want)):
		t.Errorf("%s: got %q, want one with %q", what, list, want)
	}
}

func TestMovedEndpoints(t *testing.T) {
	for _, test := range []struct {
		environ    []string
		withDocker bool
		want       string
	}{
		{environ: []string{"AWS_ENDPOINT_URL_STS=https://user:secret@minio.example.com:9000/secret"}, want: "AWS_ENDPOINT_URL_STS is set, so calls to STS go to minio.example.com:9000"},
		{environ: []string{"AWS_ENDPOINT_URL=https://minio.example.com"}, want: "AWS_ENDPOINT_URL is set, so calls to all AWS services go to minio.example.com"},
		{environ: []string{"AWS_ENDPOINT_URL_ECR=https://minio.example.com"}},
		{environ: []string{"AWS_ENDPOINT_URL_ECR=https://minio.example.com"}, withDocker: true, want: "AWS_ENDPOINT_URL_ECR is set, so calls to ECR go to minio.example.com"},
		{environ: []string{"AWS_ENDPOINT_URL_STS=https://minio.example.com", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=True"}},
		{environ: []string{"AWS_ENDPOINT_URL_ECR_PUBLIC="}, withDocker: true},
	} {
		got, err := movedEndpoints(environmentOf(test.environ), test.withDocker)
		if err != nil {
			t.Error(err)
		}
		checkOne(t, strings.Join(test.environ, " "), got, test.want)
	}
}

func TestInvalidEndpoints(t *testing.T) {
	for name, row := range map[string]struct {
		environ []string
		want    []string
	}{
		"nothing set":        {nil, nil},
		"valid":              {[]string{"AWS_ENDPOINT_URL=https://x", "AWS_USE_FIPS_ENDPOINT=False", "AWS_ENDPOINT_URL_STS=http://127.0.0.1:1"}, nil},
		"ignored":            {[]string{"AWS_ENDPOINT_URL=nonsense", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true"}, nil},
		"no host":            {[]string{"AWS_ENDPOINT_URL_ECR=https://"}, []string{"AWS_ENDPOINT_URL_ECR must be a URL"}},
		"another scheme":     {[]string{"AWS_ENDPOINT_URL_STS=ftp://x"}, []string{"AWS_ENDPOINT_URL_STS must be a URL"}},
		"not a URL":          {[]string{"AWS_ENDPOINT_URL=http://u:canary@x:port"}, []string{"AWS_ENDPOINT_URL must be a URL"}},
		"several are listed": {[]string{"AWS_ENDPOINT_URL_STS=1", "AWS_ENDPOINT_URL=x"}, []string{"AWS_ENDPOINT_URL_STS must", "AWS_ENDPOINT_URL must"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := movedEndpoints(environmentOf(row.environ), false)
			if (err == nil) != (row.want == nil) {
				t.Fatalf("got %v, want %q", err, row.want)
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}
