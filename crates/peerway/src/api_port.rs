//! The flags of the API's port, which `up` and `server` share: TLS, names, the audit log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, ValueEnum};
use server::{ApiOptions, ApiTls, AuditScope};

#[derive(Clone, Debug, Default, Args)]
pub struct ApiPortOptions {
    /// Serve the API by TLS, with a certificate of our own; clients trust api-ca.pem in the data directory (AWS_CA_BUNDLE)
    #[arg(long)]
    pub tls: bool,
    /// Serve the API by TLS with this certificate: a PEM file, its own first, then those that it is from
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key: a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// A name by which clients ask, beside addresses and localhost; may be repeated. Our own certificate has it, too
    #[arg(long, value_name = "NAME")]
    pub api_name: Vec<String>,
    /// Allow --listen on an address that others reach without TLS, for example behind a proxy that has it
    #[arg(long)]
    pub allow_plain_http: bool,
    /// Which requests are written to audit.jsonl in the data directory
    #[arg(long, value_enum, default_value_t = Audit::All)]
    pub audit: Audit,
    /// Connections that one source address (IPv6: one /64) may hold at a time, of 1,024 [default: 512]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub connections_per_source: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Audit {
    #[default]
    All,
    /// What changes something, and what is refused
    Changes,
    Off,
}

impl ApiPortOptions {
    /// # Errors
    /// An address that others reach, and nothing that keeps them from reading along.
    pub fn of(&self, listen: SocketAddr) -> anyhow::Result<ApiOptions> {
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => ApiTls::Given { certificate: certificate.clone(), key: key.clone() },
            _ if self.tls => ApiTls::Own,
            _ => ApiTls::Off,
        };
        if tls == ApiTls::Off && !listen.ip().is_loopback() && !self.allow_plain_http {
            bail!(
                "others may reach {listen}, and could read requests and answers; serve it by TLS with --tls, or with --tls-cert and \
                 --tls-key, or say --allow-plain-http"
            );
        }
        let audit = match self.audit {
            Audit::All => AuditScope::All,
            Audit::Changes => AuditScope::Changes,
            Audit::Off => AuditScope::Off,
        };
        let connections_per_source = self.connections_per_source.map_or(server::CONNECTIONS_PER_SOURCE, usize::from);
        Ok(ApiOptions { tls, names: self.api_name.clone(), audit, connections_per_source })
    }
}

/// As clients are to have it.
pub fn endpoint(address: SocketAddr, tls: &ApiTls) -> String {
    let scheme = if *tls == ApiTls::Off { "http" } else { "https" };
    format!("{scheme}://{address}")
}

/// A line for a shell: whom to trust, where that is needed.
pub fn trust_line(data: &Path, tls: &ApiTls) -> String {
    match tls {
        ApiTls::Own => format!("export AWS_CA_BUNDLE={}\n", data.join(server::tls::CA_FILE).display()),
        ApiTls::Off | ApiTls::Given { .. } => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_reach_is_not_served_in_clear_by_accident() {
        let of = |listen: &str, options: ApiPortOptions| options.of(listen.parse().unwrap());
        let plain = ApiPortOptions::default;
        for listen in ["127.0.0.1:1", "[::1]:1", "127.9.9.9:1"] {
            assert_eq!(of(listen, plain()).unwrap().tls, ApiTls::Off, "{listen}");
        }
        for listen in ["0.0.0.0:1", "192.0.2.1:1", "[::]:1", "[2001:db8::1]:1"] {
            let error = of(listen, plain()).unwrap_err().to_string();
            assert!(
                error.contains(listen) && error.contains("--tls") && error.contains("--allow-plain-http"),
                "{error}"
            );
            assert_eq!(of(listen, ApiPortOptions { tls: true, ..plain() }).unwrap().tls, ApiTls::Own);
            assert_eq!(of(listen, ApiPortOptions { allow_plain_http: true, ..plain() }).unwrap().tls, ApiTls::Off);
            let given = ApiPortOptions { tls_cert: Some("c".into()), tls_key: Some("k".into()), tls: true, ..plain() };
            assert_eq!(of(listen, given).unwrap().tls, ApiTls::Given { certificate: "c".into(), key: "k".into() });
        }
    }
}
