//! Which servers are trusted to be who they say: by the system's certificates, and by those that are configured.
//!
//! Reads files, once for each client. What a newcomer would get wrong: GitHub Enterprise Server makes itself a certificate that
//! is marked as an authority's. webpki accepts no such certificate from a server, whoever trusts it; git and curl do if exactly
//! this one is trusted, and so does ghbk. Its name is still compared; its dates are not, because whoever configures a certificate
//! by itself has decided.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Returns the TLS configuration: it trusts the system's certificates (or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`) and those
/// in a file.
pub(super) fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut trusted = rustls_native_certs::load_native_certs().certs;
    if let Some(path) = ca_file {
        let unreadable = |error: &dyn std::fmt::Display| format!("github.ca_file {}: {error}", path.display());
        let before = trusted.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
            trusted.push(certificate.map_err(|error| unreadable(&error))?);
        }
        if trusted.len() == before {
            return Err(unreadable(&"it holds no certificate in PEM"));
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Verifier::new(trusted, Arc::clone(&provider))?);
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Trusts what webpki trusts, and any certificate that is itself among the trusted ones.
#[derive(Debug)]
struct Verifier {
    trusted: Vec<CertificateDer<'static>>,
    /// `None` if no certificate is trusted at all, as on a machine without any: http still works there.
    webpki: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(trusted: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let webpki = if roots.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            Some(builder.build().map_err(|error| error.to_string())?)
        };
        Ok(Self { trusted, webpki, provider })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let verified = self.webpki.as_ref().map_or_else(
            || Err(unknown()),
            |webpki| webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
        );
        match verified {
            Err(_) if self.trusted.iter().any(|trusted| trusted == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            // An authority's certificate that nobody trusts is unknown like any other.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) => Err(unknown()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marked as an authority's, of github.corp.example, and expired since 2021.
    const OWN: &str = "\
-----BEGIN CERTIFICATE-----
MIIBfTCCASOgAwIBAgIBATAKBggqhkjOPQQDAjAeMRwwGgYDVQQDDBNnaXRodWIu
Y29ycC5leGFtcGxlMB4XDTIwMDEwMTAwMDAwMFoXDTIxMDEwMTAwMDAwMFowHjEc
MBoGA1UEAwwTZ2l0aHViLmNvcnAuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49
AwEHA0IABD35T57ClSGJHt5pOJ8nKNwvxSl2Wjn4MpkMRAdv8vf9sXGE7qQS22JL
k4mWxwcV6TS8KeRCtO3hZ82aiqcvPlyjUjBQMB4GA1UdEQQXMBWCE2dpdGh1Yi5j
b3JwLmV4YW1wbGUwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUVowpJtUTwRiI
qYpSv1uy1Tl9njowCgYIKoZIzj0EAwIDSAAwRQIgHxdqlOFWGBkJG9w8Oc3Biemk
Ns7dEUK4ZRnsrvJ7JRoCIQChnLIl5k6k3hSsdaIgykI8FEq+DES7dRnCLa/J9HCm
eA==
-----END CERTIFICATE-----";

    fn verified(trusted: Vec<CertificateDer<'static>>, host: &'static str) -> Result<(), Error> {
        let own = CertificateDer::from_pem_slice(OWN.as_bytes()).unwrap();
        let verifier = Verifier::new(trusted, Arc::new(aws_lc_rs::default_provider())).unwrap();
        let host = ServerName::try_from(host).unwrap();
        verifier.verify_server_cert(&own, &[], &host, &[], UnixTime::now()).map(drop)
    }

    #[test]
    fn a_certificate_that_is_trusted_by_itself_is_believed_for_its_own_name_only() {
        let own = CertificateDer::from_pem_slice(OWN.as_bytes()).unwrap();
        verified(vec![own.clone()], "github.corp.example").unwrap();
        for host in ["github.example", "corp.example", "evil.github.corp.example"] {
            let error = verified(vec![own.clone()], host).unwrap_err();
            assert!(error.to_string().contains("not valid for name"), "{host}: {error}");
        }
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(verified(Vec::new(), "github.corp.example"), Err(unknown));
    }
}
