package awsid

import "strings"

// Partition is a part of AWS with its own accounts, credentials, and hosts, which are not valid in other partitions.
// See https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html.
type Partition struct {
	Name            string // in ARNs, such as aws or aws-cn
	DNSSuffix       string // of most endpoints' hosts, such as amazonaws.com
	DualStackSuffix string // of the hosts of dual-stack endpoints (IPv4 and IPv6), such as api.aws
}

// Partition returns the Region's partition, which the Region's prefix determines. Unknown prefixes belong to new Regions of
// the commercial partition. The table is the one of AWS's SDKs:
// https://github.com/aws/aws-sdk-go-v2/blob/main/internal/endpoints/awsrulesfn/partitions.json.
func (r Region) Partition() Partition {
	for _, known := range []struct {
		prefix    string
		partition Partition
	}{
		{"cn-", Partition{"aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn"}},
		{"us-gov-", Partition{"aws-us-gov", "amazonaws.com", "api.aws"}},
		{"eusc-", Partition{"aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu"}},
		{"us-iso-", Partition{"aws-iso", "c2s.ic.gov", "api.aws.ic.gov"}},
		{"us-isob-", Partition{"aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud"}},
		{"eu-isoe-", Partition{"aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"}},
		{"us-isof-", Partition{"aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov"}},
	} {
		if strings.HasPrefix(r.code, known.prefix) {
			return known.partition
		}
	}
	return Partition{"aws", "amazonaws.com", "api.aws"}
}
