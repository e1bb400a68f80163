//! Every reason why there is no session, or no longer one.

use std::io;

use model::{HostId, KeyFingerprint};
use rustls::{CertificateError, Error as TlsError, PeerIncompatible};

/// Why a session was refused or ended. What a peer says of itself stands in none of them but as a host's name or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("this host closed the session")]
    Closed,
    #[error("the peer closed the session")]
    PeerClosed,
    #[error("the peer opened another session in its place")]
    Replaced,
    #[error("the session lasted for its longest time; open a new one")]
    TooOld,
    #[error("the peer was silent for too long")]
    Idle,
    #[error("the peer does not read what it is sent")]
    SlowReader,
    #[error("the peer announced a frame of {bytes} bytes")]
    Oversize { bytes: usize },
    #[error("the handshake took too long")]
    HandshakeTimeout,
    #[error("the peer cannot be reached: {0}")]
    Unreachable(String),
    #[error("the connection failed: {0}")]
    Io(String),

    #[error("this host has no certificate yet")]
    NoIdentity,
    #[error("{limit} sessions are open, which is the limit")]
    Full { limit: usize },
    #[error("{limit} sessions to that host are open, which is the limit; close one")]
    FullForPeer { limit: usize },

    #[error("host {host} is not in the intent")]
    UnknownHost { host: HostId },
    #[error("host {host} has key {key}, and the intent names another")]
    OtherKey { host: HostId, key: KeyFingerprint },
    #[error("the intent no longer names host {host} with that key")]
    Revoked { host: HostId },
    #[error("host {actual} answers where host {expected} was expected")]
    WrongHost { expected: HostId, actual: HostId },
    #[error("the peer says that it is this host")]
    Ourselves,
    #[error("the certificate names no host, or several")]
    NoHostName,
    #[error("the certificate is not from this installation's authority")]
    UnknownAuthority,
    #[error("the certificate has expired")]
    Expired,
    #[error("the certificate is not valid yet; compare the hosts' clocks")]
    NotYetValid,
    #[error("the peer showed no certificate")]
    NoCertificate,
    #[error("the peer did not prove that it has its certificate's key")]
    NoProof,
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),

    #[error("the peer does not speak TLS 1.3")]
    Version,
    #[error("the peer offers no key exchange that withstands quantum computers (X25519MLKEM768)")]
    NotPostQuantum,
    #[error("the peer offers no AES-256-GCM")]
    CipherSuite,
    #[error("the peer speaks another protocol inside TLS")]
    Protocol,
    #[error("the peer refused: {0}")]
    Alert(String),
    #[error("the handshake failed: {0}")]
    Tls(String),
}

impl Why {
    /// Of what reading, writing or a handshake ended with.
    pub(super) fn of_io(error: &io::Error) -> Why {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
            return Why::of_tls(tls);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Why::PeerClosed
            }
            _ => Why::Io(error.to_string()),
        }
    }

    pub(crate) fn of_tls(error: &TlsError) -> Why {
        match error {
            TlsError::InvalidCertificate(error) => Why::of_certificate(error),
            TlsError::NoCertificatesPresented => Why::NoCertificate,
            TlsError::NoApplicationProtocol => Why::Protocol,
            TlsError::AlertReceived(alert) => Why::Alert(format!("{alert:?}")),
            TlsError::PeerIncompatible(why) => match why {
                PeerIncompatible::NoKxGroupsInCommon
                | PeerIncompatible::NamedGroupsExtensionRequired
                | PeerIncompatible::KeyShareExtensionRequired => Why::NotPostQuantum,
                PeerIncompatible::NoCipherSuitesInCommon => Why::CipherSuite,
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled => Why::Version,
                other => Why::Tls(format!("{other:?}")),
            },
            other => Why::Tls(other.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Why {
        match error {
            CertificateError::Other(other) => match other.0.downcast_ref::<Why>() {
                Some(why) => why.clone(),
                None => Why::Certificate(other.to_string()),
            },
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Why::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Why::NotYetValid,
            // Of another authority with another name, or with the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Why::UnknownAuthority,
            other => Why::Certificate(other.to_string()),
        }
    }
}
