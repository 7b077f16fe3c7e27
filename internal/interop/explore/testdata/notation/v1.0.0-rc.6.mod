module client

go 1.26

require (
	github.com/notaryproject/notation-go v1.0.0-rc.6
	github.com/opencontainers/image-spec v1.1.0-rc.3
	oras.land/oras-go/v2 v2.2.0
)

require (
	github.com/Azure/go-ntlmssp v0.0.0-20221128193559-754e69321358 // indirect
	github.com/go-asn1-ber/asn1-ber v1.5.4 // indirect
	github.com/go-ldap/ldap/v3 v3.4.4 // indirect
	github.com/notaryproject/notation-core-go v1.0.0-rc.4 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	golang.org/x/crypto v0.9.0 // indirect
	golang.org/x/sync v0.2.0 // indirect
)
