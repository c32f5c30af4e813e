// SPDX-License-Identifier: Apache-2.0

// Package signals turns what the OpenAI SDK for Go returns into the parts of a
// Report. Copy it: it knows the SDK and the wire contract, and nothing of this
// example.
//
//	ctx, progress := signals.Watch(ctx)
//	var resp *http.Response
//	chat, err := client.Chat.Completions.New(ctx, params, option.WithResponseInto(&resp))
//	answer := signals.FromChat(chat, resp, err, progress)
//	answer.Quality = signals.Judge(chat, signals.Expect{Tools: names})
//
// It sends what was seen and decides nothing: what a 429 with this code and
// that header means is the server's business. It sends no text of the answer
// and none of the error's, only codes, names and numbers.
//
// Four things that one would not guess:
//
//   - The status is not always in the error. If the body of a 5xx is cut, or
//     its "error" is not an object, the SDK returns a plain error. The response
//     that option.WithResponseInto fills in has the status still.
//   - A code that is null is common. Then the error's type says what there is
//     to say ("overloaded_error", "insufficient_quota").
//   - A 200 may hold an error object. The SDK sees an answer without choices.
//   - Whether the request had left before the connection broke is in no error.
//     [Watch] asks net/http.
package signals
