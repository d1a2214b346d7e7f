package step

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// runFacts is what variableEffects needs to know about a run.
type runFacts struct {
	// region is the Region that is exported.
	region string
	// sessionToken is the value that is exported as AWS_SESSION_TOKEN; empty for long-lived keys and with a profile.
	sessionToken secret.Text
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
	// warnings name variables that keep at least one tool from using what the Step exports.
	warnings []string
	// facts are worth a line in the log, but are usually what the user wants.
	facts []string
}

func (e *effects) add(other effects) {
	e.outputs = append(e.outputs, other.outputs...)
	e.warnings = append(e.warnings, other.warnings...)
	e.facts = append(e.facts, other.facts...)
}

// print writes the effects to the log.
func (e effects) print(log *report.Log) {
	for _, line := range e.facts {
		log.Printf("%s", line)
	}
	for _, line := range e.warnings {
		log.Warnf("%s", line)
	}
}

func warning(format string, args ...any) effects {
	return effects{warnings: []string{fmt.Sprintf(format, args...)}}
}

func fact(format string, args ...any) effects {
	return effects{facts: []string{fmt.Sprintf(format, args...)}}
}

// lookupFunc returns the value of a variable and reports whether it is set, like [os.LookupEnv]. Several tools treat an
// empty variable differently from an unset one.
type lookupFunc func(key string) (value string, ok bool)

// variable is a row of the table: an environment variable that a tool prefers to what the Step exports, or that breaks a
// tool when it is combined with it.
type variable struct {
	key string
	// effect is called only if the variable is set. Its value may be empty.
	effect func(setting) effects
}

// setting is a variable that is set, in an environment and for a run.
type setting struct {
	key, value string
	lookup     lookupFunc
	run        runFacts
}

// variableTable returns every variable that is known to defeat the outputs in the AWS CLI v1 or v2, boto3, an AWS SDK, or
// Docker. The order of the rows is the order in the log.
//
// Other variables of AWS's tools need no row. Those that the Step exports are replaced. AWS_CREDENTIAL_FILE, BOTO_CONFIG,
// AWS_EC2_METADATA_DISABLED and, but for JavaScript v2, AWS_CONTAINER_CREDENTIALS_* come into play only if neither exported
// credentials nor a profile exist. AWS_ROLE_ARN does nothing without AWS_WEB_IDENTITY_TOKEN_FILE.
func variableTable() []variable {
	return []variable{
		{"AWS_PROFILE", otherProfile},
		{"AWS_DEFAULT_PROFILE", otherDefaultProfile},
		{"AWS_SECURITY_TOKEN", securityToken},
		{"AWS_WEB_IDENTITY_TOKEN_FILE", webIdentityFile},
		{"AWS_ACCESS_KEY", oldAccessKey("AWS_SECRET_KEY", "the AWS SDKs for Go, Java v1, and Ruby")},
		{"AMAZON_ACCESS_KEY_ID", oldAccessKey("AMAZON_SECRET_ACCESS_KEY", "the AWS SDKs for JavaScript v2 and Ruby")},
		{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", containerCredentials},
		{"AWS_CONTAINER_CREDENTIALS_FULL_URI", containerCredentials},
		{"AWS_CONFIG_FILE", emptyFileName(func(run runFacts) string { return run.configFile })},
		{"AWS_SHARED_CREDENTIALS_FILE", emptyFileName(func(run runFacts) string { return run.credentialsFile })},
		{"AWS_SDK_CONFIG_OPT_OUT", rubyOptOut},
		{"DOCKER_AUTH_CONFIG", dockerAuthConfig},
		{"REGISTRY_AUTH_FILE", registryAuthFile},
		{"AWS_REGION", ownRegion},
		{"AWS_DEFAULT_REGION", ownRegion},
		{"AWS_ENDPOINT_URL", movedEndpoint("all AWS services")},
		{"AWS_ENDPOINT_URL_STS", movedEndpoint("STS")},
		{"AWS_ENDPOINT_URL_ECR", movedEndpoint("ECR")},
		{"AWS_ENDPOINT_URL_ECR_PUBLIC", movedEndpoint("ECR Public")},
		{"AWS_BEARER_TOKEN_BEDROCK", bedrockToken},
	}
}

// variableEffects returns what the variables of the environment mean for the Steps that follow the run.
func variableEffects(lookup lookupFunc, run runFacts) effects {
	var all effects
	for _, row := range variableTable() {
		if value, ok := lookup(row.key); ok {
			all.add(row.effect(setting{key: row.key, value: value, lookup: lookup, run: run}))
		}
	}
	return all
}

// hint says how to get rid of the variable. "envman unset" is no way: it makes a variable empty for the next Steps.
func (s setting) hint() string { return fmt.Sprintf("remove %s where it is set", s.key) }

// replaced is an extra output that takes the place of the variable's value. The reason is shown in the log.
func (s setting) replaced(value secret.Text, sensitive bool, reason string) effects {
	return effects{
		outputs: []output{{key: s.key, value: value, isSensitive: sensitive}},
		facts:   []string{reason},
	}
}

// A run with a profile replaces AWS_PROFILE.
func otherProfile(s setting) effects {
	switch {
	case s.run.profile != "":
		return effects{}
	case s.value == "":
		return warning("%s is set but empty: the AWS CLI and boto3 fail with \"The config profile () could not be found\"; %s", s.key, s.hint())
	default:
		return warning("%s is set to %q: the AWS SDKs for JavaScript v3 and .NET v3 use that profile instead of the exported credentials, "+
			"and the AWS CLI, boto3, and the AWS SDK for Go v2 fail if it does not exist; %s", s.key, s.value, s.hint())
	}
}

// The AWS CLI v1 and boto3 prefer AWS_DEFAULT_PROFILE to AWS_PROFILE, even if it is empty.
func otherDefaultProfile(s setting) effects {
	switch {
	case s.run.profile != "" && s.value == s.run.profile:
		return effects{}
	case s.run.profile != "":
		return s.replaced(secret.New(s.run.profile), false, fmt.Sprintf(
			"%s is set to %q, and the AWS CLI v1 and boto3 prefer it to AWS_PROFILE: it is exported with the same value", s.key, s.value))
	case s.value == "":
		return warning("%s is set but empty: the AWS CLI and boto3 fail with \"The config profile () could not be found\"; %s", s.key, s.hint())
	default:
		return warning("%s is set to %q: the AWS CLI and boto3 fail if that profile does not exist; %s", s.key, s.value, s.hint())
	}
}

// AWS_SECURITY_TOKEN is an old name of AWS_SESSION_TOKEN.
func securityToken(s setting) effects {
	if s.value == "" {
		return effects{}
	}
	return s.replaced(s.run.sessionToken, true, fmt.Sprintf(
		"%s is set, and the AWS CLI and boto3 prefer it to AWS_SESSION_TOKEN: it is exported with the same value", s.key))
}

// Without a profile, the exported keys come first everywhere except in the AWS SDK for .NET v3.
func webIdentityFile(s setting) effects {
	_, hasRole := s.lookup("AWS_ROLE_ARN")
	switch {
	case s.run.profile == "" && s.value != "" && hasRole:
		return warning("%s and AWS_ROLE_ARN are set: the AWS SDK for .NET v3 assumes that role instead of using the exported credentials; %s",
			s.key, s.hint())
	case s.run.profile == "":
		return effects{}
	case s.value != "":
		return warning("%s is set to %q: the AWS CLI, boto3, and most AWS SDKs use that token instead of the profile %q; %s",
			s.key, s.value, s.run.profile, s.hint())
	case hasRole:
		return warning("%s is set but empty, and AWS_ROLE_ARN is set: the AWS SDK for Ruby fails before it reads the profile %q; %s",
			s.key, s.run.profile, s.hint())
	default:
		return effects{}
	}
}

// oldAccessKey is the effect of an old name of AWS_ACCESS_KEY_ID, set together with that of AWS_SECRET_ACCESS_KEY. The tools
// that know these names use them if AWS_ACCESS_KEY_ID is unset or empty, as it is with a profile.
func oldAccessKey(secretKey, tools string) func(setting) effects {
	return func(s setting) effects {
		if secretValue, _ := s.lookup(secretKey); s.run.profile == "" || s.value == "" || secretValue == "" {
			return effects{}
		}
		return warning("%s and %s are set: %s use these keys instead of the profile %q; remove or "+
			"rename these variables", s.key, secretKey, tools, s.run.profile)
	}
}

func containerCredentials(s setting) effects {
	if s.run.profile == "" || s.value == "" {
		return effects{}
	}
	return warning("%s is set: the AWS SDK for JavaScript v2 requests credentials there before it reads the profile %q; %s",
		s.key, s.run.profile, s.hint())
}

// emptyFileName is the effect of a file's variable that is set but empty. The Step and most SDKs use the default file then.
// The AWS CLI and boto3 read no config file, and the AWS SDK for Ruby fails, because it reads the working directory.
func emptyFileName(path func(runFacts) string) func(setting) effects {
	return func(s setting) effects {
		if s.run.profile == "" || s.value != "" {
			return effects{}
		}
		return s.replaced(secret.New(path(s.run)), false, fmt.Sprintf(
			"%s is set but empty, and some AWS tools would not find the profile %q: it is exported with the default path", s.key, s.run.profile))
	}
}

// Any value opts out, even an empty one.
func rubyOptOut(s setting) effects {
	if s.run.profile == "" {
		return effects{}
	}
	return warning("%s is set: the AWS SDK for Ruby does not read the profile %q; %s", s.key, s.run.profile, s.hint())
}

// Docker 28.3 and later use a login from this variable instead of the one in Docker's file. They ignore a value that they
// cannot parse.
func dockerAuthConfig(s setting) effects {
	var config struct {
		Auths map[string]struct {
			Auth string `json:"auth"`
		} `json:"auths"`
	}
	decoder := json.NewDecoder(strings.NewReader(s.value))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return effects{}
	}
	var shadowed []string
	for _, registry := range s.run.registries {
		if _, found := config.Auths[registry]; found {
			shadowed = append(shadowed, registry)
		}
	}
	if len(shadowed) == 0 {
		return effects{}
	}
	return warning("%s has a login for %s: Docker 28.3 and later use it instead of the one that this Step stored; remove it from the variable",
		s.key, strings.Join(shadowed, ", "))
}

func registryAuthFile(s setting) effects {
	if len(s.run.registries) == 0 || s.value == "" || filepath.Clean(s.value) == s.run.dockerFile {
		return effects{}
	}
	return warning("%s is set to %q: Podman, Buildah, and Skopeo read that file instead of %s, which has the logins; %s",
		s.key, s.value, s.run.dockerFile, s.hint())
}

func ownRegion(s setting) effects {
	if s.value == "" || s.value == s.run.region {
		return effects{}
	}
	return fact("%s is %q; it is exported as %q, the input region", s.key, s.value, s.run.region)
}

// movedEndpoint names only the host, because a URL may hold a password.
func movedEndpoint(service string) func(setting) effects {
	return func(s setting) effects {
		if ignored, _ := s.lookup("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"); strings.EqualFold(ignored, "true") {
			return effects{}
		}
		endpoint, err := url.Parse(s.value)
		if err != nil || endpoint.Host == "" {
			return effects{}
		}
		return fact("%s is set: calls to %s go to %s", s.key, service, endpoint.Host)
	}
}

func bedrockToken(s setting) effects {
	if s.value == "" {
		return effects{}
	}
	return fact("%s is set: AWS tools call Amazon Bedrock with it instead of the exported credentials", s.key)
}
