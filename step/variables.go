package step

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
)

// runFacts is what [variableEffects] needs to know about a run.
type runFacts struct {
	// region is the Region that is exported.
	region string
	// profile is the name of the profile that the run writes, or empty. configFile and credentialsFile are the absolute
	// paths of AWS's shared files, and matter only with a profile.
	profile, configFile, credentialsFile string
	// registries are the hosts that the run logs Docker in to, if any, and dockerFile is where it stores the logins.
	registries []string
	dockerFile string
}

// effects is what the variables of the environment mean for the Steps that follow.
type effects struct {
	// outputs are exported in addition to the Step's own.
	outputs []output
	// warnings are about variables that prevent at least one tool from using what the Step exports.
	warnings []string
	// facts are about variables that the Step changes, which is usually what the user wants.
	facts []string
}

func (e *effects) warn(format string, args ...any) {
	e.warnings = append(e.warnings, fmt.Sprintf(format, args...))
}

func (e *effects) note(format string, args ...any) {
	e.facts = append(e.facts, fmt.Sprintf(format, args...))
}

// print writes the effects to the log.
func (e effects) print(log *report.Log) {
	if len(e.facts)+len(e.warnings) > 0 {
		log.Printf("")
	}
	for _, line := range e.facts {
		log.Printf("%s", line)
	}
	for _, line := range e.warnings {
		log.Warnf("%s", line)
	}
}

// variableEffects returns what the variables of the environment mean for the Steps that follow the run. It covers the variables that
// are known to override the outputs: the AWS CLI v1 or v2, boto3, an AWS SDK, or Docker prefers them to what the Step exports, or
// fails because of them.
//
// Other variables of AWS's tools don't matter. Those that the Step exports are replaced. AWS_CREDENTIAL_FILE, BOTO_CONFIG, and
// AWS_EC2_METADATA_DISABLED come into play only if neither exported credentials nor a profile exist. AWS_ROLE_ARN does nothing
// without AWS_WEB_IDENTITY_TOKEN_FILE.
func variableEffects(environment Environment, run runFacts) effects {
	var e effects
	if run.profile == "" {
		e.besideCredentials(environment)
	} else {
		e.besideProfile(environment, run)
	}
	if environment["AWS_SECURITY_TOKEN"] != "" { // an old name of AWS_SESSION_TOKEN
		e.note("AWS_SECURITY_TOKEN is also set to the session token, because the AWS CLI and boto3 prefer it to AWS_SESSION_TOKEN")
	}
	e.besideLogins(environment, run)
	for _, key := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if value := environment[key]; value != "" && value != run.region {
			e.note("%s was %q and is now %q (input: region)", key, value, run.region)
		}
	}
	return e
}

// besideCredentials is about variables that matter if credentials are exported. Its advice is to remove them where they are set, and
// not "envman unset", which makes a variable empty for the next Steps: an empty profile name is an error, too.
func (e *effects) besideCredentials(environment Environment) {
	for _, key := range []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
		if value, found := environment[key]; found && value == "" {
			e.warn(`%s is set but empty, so the AWS CLI and boto3 fail with "The config profile () could not be found". `+
				"Remove %[1]s where it is set.", key)
		}
	}
	if value := environment["AWS_PROFILE"]; value != "" {
		e.warn("AWS_PROFILE is set to %q. The AWS SDK for JavaScript v3 uses that profile instead of the exported credentials, and the "+
			"AWS CLI, boto3, and the AWS SDK for Go v2 fail if it doesn't exist. Remove AWS_PROFILE where it is set.", value)
	}
	if value := environment["AWS_DEFAULT_PROFILE"]; value != "" {
		e.warn("AWS_DEFAULT_PROFILE is set to %q. The AWS CLI and boto3 fail if that profile doesn't exist. "+
			"Remove AWS_DEFAULT_PROFILE where it is set.", value)
	}
}

// besideProfile is about variables that matter if the run writes a profile.
func (e *effects) besideProfile(environment Environment, run runFacts) {
	if value, found := environment["AWS_DEFAULT_PROFILE"]; found && value != run.profile {
		e.note("AWS_DEFAULT_PROFILE was %q and is also set to %q, because the AWS CLI v1 and boto3 prefer it to AWS_PROFILE",
			value, run.profile)
		e.outputs = append(e.outputs, plain("AWS_DEFAULT_PROFILE", run.profile))
	}
	tokenFile, hasTokenFile := environment["AWS_WEB_IDENTITY_TOKEN_FILE"]
	_, hasRole := environment["AWS_ROLE_ARN"]
	switch {
	case tokenFile != "":
		e.warn("AWS_WEB_IDENTITY_TOKEN_FILE is set to %q. The AWS CLI, boto3, and most AWS SDKs use that token instead of the profile %q. "+
			"Remove AWS_WEB_IDENTITY_TOKEN_FILE where it is set.", tokenFile, run.profile)
	case hasTokenFile && hasRole:
		e.warn("AWS_WEB_IDENTITY_TOKEN_FILE is set but empty, and AWS_ROLE_ARN is set, so the AWS SDK for Ruby fails before it reads "+
			"the profile %q. Remove AWS_WEB_IDENTITY_TOKEN_FILE where it is set.", run.profile)
	}
	// These are old names of the two keys. Tools that know them use them if AWS_ACCESS_KEY_ID is unset or empty, as it is with a profile.
	if environment["AWS_ACCESS_KEY"] != "" && environment["AWS_SECRET_KEY"] != "" {
		e.warn("AWS_ACCESS_KEY and AWS_SECRET_KEY are set. The AWS SDKs for Go, Java v1, and Ruby use these keys instead of the "+
			"profile %q. Remove or rename these variables.", run.profile)
	}
	// If they are empty, the Step and most SDKs use the default files. But the AWS CLI and boto3 read no config file, and the AWS SDK
	// for Ruby fails, because it reads the working directory.
	for _, file := range []output{
		plain("AWS_CONFIG_FILE", run.configFile), plain("AWS_SHARED_CREDENTIALS_FILE", run.credentialsFile),
	} {
		if value, found := environment[file.key]; found && value == "" {
			e.note("%s was empty and is now the default path, because some AWS tools would otherwise not find the profile %q",
				file.key, run.profile)
			e.outputs = append(e.outputs, file)
		}
	}
}

// besideLogins is about variables that matter if the run logs Docker in.
func (e *effects) besideLogins(environment Environment, run runFacts) {
	if shadowed := shadowedLogins(environment["DOCKER_AUTH_CONFIG"], run.registries); len(shadowed) > 0 {
		e.warn("DOCKER_AUTH_CONFIG has a login for %s. Docker 28.3 and later use it instead of the one that this Step saved. "+
			"Remove it from the variable.", strings.Join(shadowed, ", "))
	}
	if value := environment["REGISTRY_AUTH_FILE"]; value != "" && len(run.registries) > 0 && filepath.Clean(value) != run.dockerFile {
		e.warn("REGISTRY_AUTH_FILE is set to %q. Podman, Buildah, and Skopeo read that file instead of %s, which has the logins. "+
			"Remove REGISTRY_AUTH_FILE where it is set.", value, run.dockerFile)
	}
}

// shadowedLogins returns the registries that also have a login in DOCKER_AUTH_CONFIG. Docker ignores a value that it can't parse.
func shadowedLogins(value string, registries []string) []string {
	var config struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}
	if json.Unmarshal([]byte(value), &config) != nil {
		return nil
	}
	var shadowed []string
	for _, registry := range registries {
		if _, found := config.Auths[registry]; found {
			shadowed = append(shadowed, registry)
		}
	}
	return shadowed
}

// movedEndpoints returns a line for each variable that changes the endpoint of the Step's calls. It shows only the host, because the
// rest of the URL may contain a password.
func movedEndpoints(environment Environment, withDocker bool) []string {
	if strings.EqualFold(environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"], "true") {
		return nil
	}
	var lines []string
	for _, endpoint := range []struct{ key, services string }{
		{"AWS_ENDPOINT_URL", "all AWS services"},
		{"AWS_ENDPOINT_URL_STS", "STS"},
		{"AWS_ENDPOINT_URL_ECR", "ECR"},
		{"AWS_ENDPOINT_URL_ECR_PUBLIC", "ECR Public"},
	} {
		if strings.HasPrefix(endpoint.services, "ECR") && !withDocker {
			continue
		}
		if moved, err := url.Parse(environment[endpoint.key]); err == nil && moved.Host != "" {
			lines = append(lines, fmt.Sprintf("%s is set, so calls to %s go to %s", endpoint.key, endpoint.services, moved.Host))
		}
	}
	return lines
}
