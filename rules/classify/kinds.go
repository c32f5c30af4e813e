// SPDX-License-Identifier: Apache-2.0

package classify

// kindByName is the dictionary of exception names, in their bare form and, if
// both forms mean the same, without "error" or "exception" at the end.
func kindByName(name string) kind {
	for _, find := range [...]func(string) kind{timingName, connectName, streamName, localName} {
		if k := find(name); k != kindOther {
			return k
		}
	}
	return kindOther
}

func timingName(name string) kind {
	switch name {
	case "timeout", "timedout", "requesttimeout", "calltimeout", "apitimeout", "apiconnectiontimeout",
		"readtimeout", "writetimeout", "sockettimeout", "servertimeout", "responsetimeout",
		"connectiontimeout", "etimedout", "esockettimedout", "httptimeout", "httprequesttimeout",
		"underrheaderstimeout", "underrbodytimeout", "headerstimeout", "bodytimeout",
		"firstbytetimeout", "ttfttimeout", "ttft", "idletimeout", "streamidletimeout", "streamidle",
		"deadline", "deadlineexceeded", "contextdeadlineexceeded", "iotimeout":
		return kindTimeout
	case "cancelled", "canceled", "cancel", "contextcanceled", "contextcancelled", "abort",
		"apiuserabort", "taskcancelled", "taskcanceled", "operationcancelled", "operationcanceled",
		"cancellation", "keyboardinterrupt", "runstopped":
		return kindCancelled
	}
	return kindOther
}

func connectName(name string) kind {
	switch name {
	case "connect", "connecttimeout", "connecttimedout", "dialtimeout", "dial", "pooltimeout",
		"underrconnecttimeout", "connectiontimeouterror", "httpconnecttimeout",
		"econnrefused", "connectionrefused", "connectrefused", "newconnection", "clientconnector",
		"dns", "enotfound", "eaiagain", "gai", "nxdomain", "nosuchhost", "unknownhost",
		"nameresolution", "clientconnectordns", "dnsnosuchhost", "dnslookup", "dnstimeout",
		"noroute", "noroutetohost", "ehostunreach", "enetunreach", "ehostdown", "enetdown",
		"hostunreachable", "networkunreachable", "networkisunreachable",
		"tlshandshaketimeout", "tlshandshake", "sslhandshake", "sslhandshaketimeout", "handshaketimeout":
		return kindConnect
	case "certificate", "certificateinvalid", "invalidcertificate", "certificateexpired",
		"certificateverification", "certificateverificationfailed", "certificateverifyfailed",
		"tlscertificate", "tlscertificateinvalid", "tlscertificateverification", "tlsconfig",
		"sslcertificate", "sslcertverification", "sslcertverificationfailed", "sslpeerunverified",
		"clientconnectorcertificate", "clientconnectorssl",
		"certhasexpired", "certnotyetvalid", "certuntrusted", "deptherozeroselfsignedcert",
		"depthzeroselfsignedcert", "selfsignedcertinchain", "unabletoverifyleafsignature",
		"unabletogetissuercert", "unabletogetissuercertlocally", "errtlscertaltnameinvalid",
		"unknownauthority", "x509unknownauthority", "x509certificateinvalid", "x509hostname":
		return kindCertificate
	case "connection", "apiconnection", "clientconnection", "transport", "network", "proxy",
		"tls", "ssl", "io", "httprequest", "clientos", "socket", "underrsocket", "fetchfailed":
		return kindTransport
	}
	return kindOther
}

func streamName(name string) kind {
	switch name {
	case "reset", "connectionreset", "connectionresetbypeer", "econnreset", "rst", "rststream",
		"eof", "unexpectedeof", "errunexpectedeof", "epipe", "brokenpipe", "econnaborted",
		"connectionaborted", "connectionclosed", "remotedisconnected", "remoteprotocol",
		"serverdisconnected", "sockethangup", "read", "write", "close",
		"goawayerror", "goawayexception", "conngone", "eshutdown", "enotconn":
		return kindReset
	case "refusedstream", "streamrefused", "rststreamrefused", "http2refusedstream",
		"goaway", "http2goaway":
		return kindRefused
	case "streambroken", "streamcut", "streamreset", "streamclosed", "streamstalled", "stalled",
		"streamtruncated", "streamerror", "stream", "incompleteread", "chunkedencoding",
		"clientpayload", "prematureclose", "errstreamprematureclose", "responseended":
		return kindStream
	case "malformed", "malformedresponse", "malformedstream", "invalidresponse", "badresponse",
		"apiresponsevalidation", "jsondecode", "jsonparse", "decode", "decoding", "deserialization",
		"deserialisation", "contentdecoding", "responseparse", "responsecontent":
		return kindMalformed
	}
	return kindOther
}

func localName(name string) kind {
	switch name {
	case "local", "serialise", "serialize", "serialisation", "serialization", "serialising",
		"serializing", "encode", "encoding", "marshal", "marshaler", "jsonencode", "jsonmarshal",
		"jsonunsupportedtype", "jsonunsupportedvalue",
		"config", "configuration", "invalidconfig", "misconfiguration", "missingapikey",
		"invalidurl", "missingschema", "invalidschema", "unsupportedprotocol", "localprotocol",
		"invalidheader", "oom", "outofmemory", "memory":
		return kindLocal
	}
	return kindOther
}
