//! From a parameter to a typed value, or EC2's error for it. A value that comes out is valid.

use model::*;

use crate::members::{Member, Members};
use crate::{Error, Node};

/// Reads itself from a parameter; `None` is a parameter that was not sent.
pub trait FromQuery: Sized {
    /// Whether it cannot be read from a parameter that was not sent.
    const IS_REQUIRED: bool = true;

    /// # Errors
    /// EC2's error for a parameter that is missing or does not parse; `name` is the parameter's full name.
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error>;

    /// Which members it looks at.
    fn reads() -> Members {
        Members::whole::<Self>()
    }
}

/// The text of a scalar parameter.
///
/// # Errors
/// `MissingParameter` if it was not sent.
pub fn scalar<'a>(node: Option<&'a Node>, name: &str) -> Result<&'a str, Error> {
    node.and_then(Node::value).ok_or_else(|| Error::missing_parameter(name))
}

impl<T: FromQuery> FromQuery for Option<T> {
    const IS_REQUIRED: bool = false;

    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        node.map(|node| T::from_query(Some(node), name)).transpose()
    }

    fn reads() -> Members {
        T::reads()
    }
}

impl<T: FromQuery> FromQuery for Vec<T> {
    const IS_REQUIRED: bool = false;

    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        let items = node.into_iter().flat_map(Node::items);
        items.map(|(index, item)| T::from_query(Some(item), &format!("{name}.{index}"))).collect()
    }

    fn reads() -> Members {
        Members::List(T::reads)
    }
}

impl FromQuery for String {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        scalar(node, name).map(Into::into)
    }
}

impl FromQuery for bool {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        match scalar(node, name)? {
            text if text.eq_ignore_ascii_case("true") => Ok(true),
            text if text.eq_ignore_ascii_case("false") => Ok(false),
            text => Err(Error::invalid_parameter(name, text, "Expected a boolean: true or false.")),
        }
    }
}

impl FromQuery for i32 {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        let text = scalar(node, name)?;
        text.parse().map_err(|_| Error::invalid_parameter(name, text, "Expected an integer."))
    }
}

impl FromQuery for Time {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        let text = scalar(node, name)?;
        Time::parse(text)
            .ok_or_else(|| Error::invalid_parameter(name, text, "Expected a time such as 2026-01-15T12:00:00Z."))
    }
}

impl FromQuery for AccountId {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        let text = scalar(node, name)?;
        text.parse().map_err(|_| Error::invalid_parameter(name, text, "Expected an account id of 12 digits."))
    }
}

impl FromQuery for Region {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        let text = scalar(node, name)?;
        text.parse().map_err(|_| Error::invalid_parameter(name, text, "Expected a region code such as us-east-1."))
    }
}

impl FromQuery for IpProtocol {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        let text = scalar(node, name)?;
        let unknown = || Error::invalid_value(format!("Invalid value '{text}' for IP protocol. Unknown protocol."));
        IpProtocol::parse(text).ok_or_else(unknown)
    }
}

macro_rules! blocks {
    ($($block:ident),*) => {
        $(impl FromQuery for $block {
            fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
                let text = scalar(node, name)?;
                text.parse().map_err(|_| Error::invalid_parameter(&member_name(name), text, "This is not a valid CIDR block."))
            }
        })*
    };
}

blocks!(Cidr, Ipv4Cidr, Ipv6Cidr);

macro_rules! addresses {
    ($($address:ty),*) => {
        $(impl FromQuery for $address {
            fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
                let text = scalar(node, name)?;
                text.parse().map_err(|_| Error::invalid_parameter(name, text, "This is not a valid IP address."))
            }
        })*
    };
}

addresses!(std::net::Ipv4Addr, std::net::Ipv6Addr);
addresses!(std::net::IpAddr);

/// `Name.Value=true`: EC2's wrapped attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute<T>(pub T);

impl<T: FromQuery> FromQuery for Attribute<T> {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        T::from_query(node.and_then(|node| node.member("Value")), &format!("{name}.Value")).map(Attribute)
    }

    fn reads() -> Members {
        Members::Structure(vec![Member { name: "Value", members: T::reads, is_required: T::IS_REQUIRED }])
    }
}

/// `DestinationCidrBlock` as AWS names it in this message: `destinationCidrBlock` (spec 4.4.1).
fn member_name(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

/// A member's full name.
pub fn path(parent: &str, member: &str) -> String {
    if parent.is_empty() { member.into() } else { format!("{parent}.{member}") }
}

/// Bytes, in base 64 on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl FromQuery for Base64 {
    fn from_query(node: Option<&Node>, name: &str) -> Result<Self, Error> {
        use base64::Engine;
        let text: String = scalar(node, name)?.split_ascii_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        bytes.map(Base64).map_err(|_| Error::invalid_value(format!("Invalid BASE64 encoding of {name}")))
    }
}

impl crate::ToXml for Base64 {
    fn write(&self, name: &str, xml: &mut crate::Xml) {
        use base64::Engine;
        xml.text(name, &base64::engine::general_purpose::STANDARD.encode(&self.0));
    }
}
