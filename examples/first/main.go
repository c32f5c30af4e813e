// SPDX-License-Identifier: Apache-2.0

// Command first asks a running resilienced for one permit and reports one
// call. Start the service with "make run" in another terminal.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	resiliencev1 "github.com/resilienced/resilienced/gen/resilience/v1"
)

func main() {
	conn, err := grpc.NewClient(cmp.Or(os.Getenv("RESILIENCED_ADDR"), "127.0.0.1:7070"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	permits := resiliencev1.NewPermitServiceClient(conn)

	// May I call it?
	may, err := permits.Acquire(ctx, &resiliencev1.AcquireRequest{Target: "openai/gpt-x"})
	if err != nil {
		log.Fatal(err)
	}
	if may.GetDecision() != resiliencev1.Decision_DECISION_GRANTED {
		fmt.Printf("%v: %v, ask again in %v\n", may.GetDecision(), may.GetReason(), may.GetDelay().AsDuration())
		return
	}

	// Here the call itself is made, by you. Say it answered 200 after 0.8 s.
	ok := int32(200)
	next, err := permits.Report(ctx, &resiliencev1.ReportRequest{
		PermitId: may.GetPermit().GetPermitId(),
		Fence:    may.GetPermit().GetFence(),
		Outcome:  resiliencev1.Outcome_OUTCOME_SUCCESS,
		Duration: durationpb.New(800 * time.Millisecond),
		Signal:   &resiliencev1.Signal{HttpStatus: &ok},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(next.GetClass(), next.GetAction())
}
