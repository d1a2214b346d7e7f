package step

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitrise-io/go-utils/v2/env"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
)

// buildTokenVariable is where a renewal reads the build's API token, which is written to no file.
const buildTokenVariable = "BITRISE_BUILD_API_TOKEN" //nolint:gosec // the variable's name

// Environment is the environment that the process was started with: the inputs, and all other variables, which can be empty.
type Environment map[string]string

// TakeEnvironment returns a snapshot of the process's environment, and removes AWS's variables from the process, except those
// that the Step honors (awsclient.Variables).
//
// Variables from earlier Steps must not affect this one, but AWS's SDK reads some sixty of them in several places. An
// invalid value can be an error even if the code sets the option. Only unset variables are reliably ignored.
func TakeEnvironment(process env.Repository) (Environment, error) {
	environment := Environment{}
	for _, variable := range process.List() {
		key, value, _ := strings.Cut(variable, "=")
		environment[key] = value
	}
	for key := range environment {
		if !strings.HasPrefix(key, "AWS_") || slices.Contains(awsclient.Variables(), key) {
			continue
		}
		if err := process.Unset(key); err != nil {
			return nil, fmt.Errorf("unset %s: %w", key, err)
		}
	}
	return environment, nil
}

// Get returns a variable's value, or empty if it is not set.
func (e Environment) Get(key string) string { return e[key] }

func (s *staged) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

func (s *staged) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// checkVariables adds outputs, notes, and warnings for variables of the environment that are known to override the outputs:
// the AWS CLI v1 or v2, boto3, an AWS SDK, or Docker prefers them to what the Step exports, or fails because of them.
//
// Other variables don't matter. AWS_CREDENTIAL_FILE, BOTO_CONFIG, and AWS_EC2_METADATA_DISABLED have an effect only without
// credentials and a profile, and AWS_ROLE_ARN only with AWS_WEB_IDENTITY_TOKEN_FILE.
func (s *staged) checkVariables(environment Environment) {
	if s.config.hasProfile() {
		s.besideProfile(environment)
	} else {
		s.besideCredentials(environment)
	}
	if environment["AWS_SECURITY_TOKEN"] != "" { // an old name of AWS_SESSION_TOKEN
		s.note("AWS_SECURITY_TOKEN is also set to the session token, because the AWS CLI and boto3 prefer it to AWS_SESSION_TOKEN")
	}
	s.besideLogins(environment)
	region := s.config.Region.String()
	for _, key := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if value := environment[key]; value != "" && value != region {
			s.note("%s was %q and is now %q (input: region)", key, value, region)
		}
	}
}

// besideCredentials is about variables that matter if credentials are exported. Its advice is to remove them where they are set, and
// not "envman unset", which makes a variable empty for the next Steps: an empty profile name is an error, too.
func (s *staged) besideCredentials(environment Environment) {
	for _, key := range []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
		if value, found := environment[key]; found && value == "" {
			s.warn(`%s is set but empty, so the AWS CLI and boto3 fail with "The config profile () could not be found". `+
				"Remove %[1]s where it is set.", key)
		}
	}
	if value := environment["AWS_PROFILE"]; value != "" {
		s.warn("AWS_PROFILE is set to %q. The AWS SDK for JavaScript v3 uses that profile instead of the exported credentials, and the "+
			"AWS CLI, boto3, and the AWS SDK for Go v2 fail if it doesn't exist. Remove AWS_PROFILE where it is set.", value)
	}
	if value := environment["AWS_DEFAULT_PROFILE"]; value != "" {
		s.warn("AWS_DEFAULT_PROFILE is set to %q. The AWS CLI and boto3 fail if that profile doesn't exist. "+
			"Remove AWS_DEFAULT_PROFILE where it is set.", value)
	}
}

// besideProfile is about variables that matter if the run writes a profile.
func (s *staged) besideProfile(environment Environment) {
	profile := s.config.Profile.String()
	if value, found := environment["AWS_DEFAULT_PROFILE"]; found && value != profile {
		s.note("AWS_DEFAULT_PROFILE was %q and is also set to %q, because the AWS CLI v1 and boto3 prefer it to AWS_PROFILE",
			value, profile)
		s.outputs = append(s.outputs, plain("AWS_DEFAULT_PROFILE", profile))
	}
	tokenFile, hasTokenFile := environment["AWS_WEB_IDENTITY_TOKEN_FILE"]
	_, hasRole := environment["AWS_ROLE_ARN"]
	switch {
	case tokenFile != "":
		s.warn("AWS_WEB_IDENTITY_TOKEN_FILE is set to %q. The AWS CLI, boto3, and most AWS SDKs use that token instead of the profile %q. "+
			"Remove AWS_WEB_IDENTITY_TOKEN_FILE where it is set.", tokenFile, profile)
	case hasTokenFile && hasRole:
		s.warn("AWS_WEB_IDENTITY_TOKEN_FILE is set but empty, and AWS_ROLE_ARN is set, so the AWS SDK for Ruby fails before it reads "+
			"the profile %q. Remove AWS_WEB_IDENTITY_TOKEN_FILE where it is set.", profile)
	}
	// Tools that know these old names use them if AWS_ACCESS_KEY_ID is empty, as it is with a profile.
	if environment["AWS_ACCESS_KEY"] != "" && environment["AWS_SECRET_KEY"] != "" {
		s.warn("AWS_ACCESS_KEY and AWS_SECRET_KEY are set. The AWS SDKs for Go, Java v1, and Ruby use these keys instead of the "+
			"profile %q. Remove or rename these variables.", profile)
	}
	// If they are empty, the Step and most SDKs use the default files. But the AWS CLI and boto3 read no config file, and the AWS SDK
	// for Ruby fails, because it reads the working directory.
	for _, file := range []output{
		plain("AWS_CONFIG_FILE", s.files.config.Path), plain("AWS_SHARED_CREDENTIALS_FILE", s.files.config.Credentials),
	} {
		if value, found := environment[file.key]; found && value == "" {
			s.note("%s was empty and is now the default path, because some AWS tools would otherwise not find the profile %q",
				file.key, profile)
			s.outputs = append(s.outputs, file)
		}
	}
}

// besideLogins is about variables that matter if the run logs Docker in.
func (s *staged) besideLogins(environment Environment) {
	var config struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}
	_ = json.Unmarshal([]byte(environment["DOCKER_AUTH_CONFIG"]), &config) // Docker ignores a value that it can't parse
	shadowed := slices.DeleteFunc(slices.Clone(s.registries), func(host string) bool { return config.Auths[host] == nil })
	if len(shadowed) > 0 {
		s.warn("DOCKER_AUTH_CONFIG has a login for %s. Docker 28.3 and later use it instead of the one that this Step saved. "+
			"Remove it from the variable.", strings.Join(shadowed, ", "))
	}
	dockerFile := string(s.files.docker)
	if value := environment["REGISTRY_AUTH_FILE"]; value != "" && len(s.registries) > 0 && filepath.Clean(value) != dockerFile {
		s.warn("REGISTRY_AUTH_FILE is set to %q. Podman, Buildah, and Skopeo read that file instead of %s, which has the logins. "+
			"Remove REGISTRY_AUTH_FILE where it is set.", value, dockerFile)
	}
}

// movedEndpoints returns a line for each variable that changes the endpoint of the Step's calls, or an error that lists those that
// aren't URLs. Of the values, they show only hosts, because the rest may contain a password; the SDK's own errors quote it.
func movedEndpoints(environment Environment, withDocker bool) ([]string, error) {
	if strings.EqualFold(environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"], "true") {
		return nil, nil
	}
	var lines []string
	var problems []error
	for _, endpoint := range []struct{ key, services string }{
		{"AWS_ENDPOINT_URL", "all AWS services"},
		{"AWS_ENDPOINT_URL_STS", "STS"},
		{"AWS_ENDPOINT_URL_ECR", "ECR"},
		{"AWS_ENDPOINT_URL_ECR_PUBLIC", "ECR Public"},
	} {
		value := environment[endpoint.key]
		moved, err := url.Parse(value)
		switch {
		case value == "":
		case err != nil || (moved.Scheme != "https" && moved.Scheme != "http") || moved.Host == "":
			err := fmt.Errorf("the variable %s must be a URL such as https://sts.us-east-1.amazonaws.com", endpoint.key)
			problems = append(problems, err)
		case withDocker || !strings.HasPrefix(endpoint.services, "ECR"):
			lines = append(lines, fmt.Sprintf("%s is set, so calls to %s go to %s", endpoint.key, endpoint.services, moved.Host))
		}
	}
	return lines, errors.Join(problems...)
}
