//! TLS to our own API: what a command trusts is a file, the one that clients of AWS are told of too.

use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::host;

/// A connection that reads and writes, whatever is below.
pub trait Connection: io::Read + io::Write {}

impl<C: io::Read + io::Write> Connection for C {}

/// Speaks TLS on the connection to the host of that name.
///
/// # Errors
/// Without a file of certificates to trust; for a name that is none.
pub fn wrap(connection: TcpStream, host: &str, data: Option<&Path>) -> anyhow::Result<Box<dyn Connection>> {
    let path = trusted(data)?;
    let unreadable = || format!("cannot read the certificates to trust in {}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&path).with_context(unreadable)? {
        roots.add(certificate.with_context(unreadable)?).with_context(unreadable)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| anyhow!("`{host}` is no name of a server"))?;
    let session = ClientConnection::new(Arc::new(config), name)?;
    Ok(Box::new(StreamOwned::new(session, connection)))
}

/// `AWS_CA_BUNDLE`, or the authority that `--tls` made.
fn trusted(data: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let data = data.map_or_else(host::default_data, |data| Ok(data.to_path_buf()))?;
    Ok(data.join(server::tls::CA_FILE))
}
