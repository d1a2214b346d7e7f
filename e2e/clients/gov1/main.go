// Gov1 is a client that uses the last AWS SDK for Go v1. It calls GetCallerIdentity until it has used as many access keys as
// its argument says, and prints who it is each time.
//
// It has its own module, so that its SDK is not among the dependencies of the tests.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/sts"
)

func main() {
	sessions, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	loaded, err := session.NewSession()
	if err != nil {
		log.Fatal(err)
	}
	// This SDK does not read the variable.
	client := sts.New(loaded, aws.NewConfig().WithEndpoint(os.Getenv("AWS_ENDPOINT_URL_STS")))
	for keys := map[string]bool{}; len(keys) < sessions; time.Sleep(50 * time.Millisecond) {
		caller, err := client.GetCallerIdentity(&sts.GetCallerIdentityInput{})
		if err != nil {
			log.Fatal(err)
		}
		credentials, err := loaded.Config.Credentials.Get()
		if err != nil {
			log.Fatal(err)
		}
		keys[credentials.AccessKeyID] = true
		fmt.Println(aws.StringValue(caller.Arn))
	}
	// The last key may not have signed a call yet.
	if _, err := client.GetCallerIdentity(&sts.GetCallerIdentityInput{}); err != nil {
		log.Fatal(err)
	}
}
