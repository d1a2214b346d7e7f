module github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/clients/gov1

go 1.25.3

require github.com/aws/aws-sdk-go v1.55.8

require github.com/jmespath/go-jmespath v0.4.0 // indirect
