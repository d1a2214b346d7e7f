// Gov2old is a client that uses an AWS SDK for Go v2 of early 2023, which still parses AWS's files like v1 does. It calls
// GetCallerIdentity until it has used as many access keys as its argument says, and prints who it is each time.
//
// It has its own module, because the tests themselves use the current SDK.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	ctx := context.Background()
	sessions, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	loaded, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	// This version of the SDK does not read the variable.
	client := sts.NewFromConfig(loaded, sts.WithEndpointResolver(sts.EndpointResolverFromURL(os.Getenv("AWS_ENDPOINT_URL_STS"))))
	for keys := map[string]bool{}; len(keys) < sessions; time.Sleep(50 * time.Millisecond) {
		caller, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			log.Fatal(err)
		}
		credentials, err := loaded.Credentials.Retrieve(ctx)
		if err != nil {
			log.Fatal(err)
		}
		keys[credentials.AccessKeyID] = true
		fmt.Println(aws.ToString(caller.Arn))
	}
	// The last key may not have signed a call yet.
	if _, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err != nil {
		log.Fatal(err)
	}
}
