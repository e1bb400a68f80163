//! The XML that SDKs read (spec 1.3.4): members by lower-camel name, lists as a wrapper with `<item>`s, absent members left out.

use model::*;

use crate::members::{Member, Members};

/// Writes itself as an element, or as nothing if it is absent.
pub trait ToXml {
    fn write(&self, name: &str, xml: &mut Xml);

    /// Which members it may have.
    fn writes() -> Members
    where
        Self: Sized,
    {
        Members::whole::<Self>()
    }
}

/// A structure: its members without the element around them.
pub trait Shape {
    fn members(&self, xml: &mut Xml);
}

/// A document being written.
#[derive(Debug, Default)]
pub struct Xml {
    out: String,
}

impl Xml {
    /// A document with its declaration.
    pub fn document() -> Xml {
        Xml { out: String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n") }
    }

    pub fn finish(self) -> String {
        self.out
    }

    pub fn element(&mut self, name: &str, inside: impl FnOnce(&mut Xml)) {
        self.open(name, "");
        inside(self);
        self.close(name);
    }

    /// An element in a namespace.
    pub fn root(&mut self, name: &str, namespace: &str, inside: impl FnOnce(&mut Xml)) {
        self.open(name, namespace);
        inside(self);
        self.close(name);
    }

    pub fn text(&mut self, name: &str, text: &str) {
        self.open(name, "");
        self.escape(text);
        self.close(name);
    }

    fn open(&mut self, name: &str, namespace: &str) {
        self.out.push('<');
        self.out.push_str(name);
        if !namespace.is_empty() {
            self.out.push_str(" xmlns=\"");
            self.out.push_str(namespace);
            self.out.push('"');
        }
        self.out.push('>');
    }

    fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    fn escape(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\t' | '\n' => self.out.push(letter),
                // Written as it is, a reader would make a line feed of it (XML 1.0, 2.11).
                '\r' => self.out.push_str("&#13;"),
                // XML 1.0 has no way to write these: a user's text must not make the document unreadable.
                control if control < ' ' || ['\u{fffe}', '\u{ffff}'].contains(&control) => self.out.push('\u{fffd}'),
                other => self.out.push(other),
            }
        }
    }
}

impl<T: ToXml> ToXml for Option<T> {
    fn write(&self, name: &str, xml: &mut Xml) {
        if let Some(value) = self {
            value.write(name, xml);
        }
    }

    fn writes() -> Members {
        T::writes()
    }
}

impl<T: ToXml> ToXml for Vec<T> {
    fn write(&self, name: &str, xml: &mut Xml) {
        xml.element(name, |xml| self.iter().for_each(|item| item.write("item", xml)));
    }

    fn writes() -> Members {
        Members::List(T::writes)
    }
}

impl<T: ToXml> ToXml for Box<T> {
    fn write(&self, name: &str, xml: &mut Xml) {
        (**self).write(name, xml);
    }

    fn writes() -> Members {
        T::writes()
    }
}

impl ToXml for String {
    fn write(&self, name: &str, xml: &mut Xml) {
        xml.text(name, self);
    }
}

impl ToXml for &'static str {
    fn write(&self, name: &str, xml: &mut Xml) {
        xml.text(name, self);
    }
}

impl ToXml for Tags {
    fn writes() -> Members {
        fn tag() -> Members {
            let member = |name| Member { name, members: String::writes, is_required: false };
            Members::Structure(vec![member("key"), member("value")])
        }
        Members::List(tag)
    }

    fn write(&self, name: &str, xml: &mut Xml) {
        xml.element(name, |xml| {
            for (key, value) in self {
                xml.element("item", |xml| {
                    xml.text("key", key);
                    xml.text("value", value);
                });
            }
        });
    }
}

/// `<name><value>..</value></name>`: EC2's wrapped attributes.
impl<T: ToXml> ToXml for crate::value::Attribute<T> {
    fn write(&self, name: &str, xml: &mut Xml) {
        xml.element(name, |xml| self.0.write("value", xml));
    }

    fn writes() -> Members {
        Members::Structure(vec![Member { name: "value", members: T::writes, is_required: false }])
    }
}

macro_rules! by_display {
    ($($kind:ty),* $(,)?) => {
        $(impl ToXml for $kind {
            fn write(&self, name: &str, xml: &mut Xml) {
                xml.text(name, &self.to_string());
            }
        })*
    };
}

by_display!(
    bool,
    i32,
    i64,
    u16,
    u32,
    u64,
    Time,
    AccountId,
    Region,
    Zone,
    MacAddr,
    Cidr,
    Ipv4Cidr,
    Ipv6Cidr,
    std::net::Ipv4Addr,
    std::net::Ipv6Addr,
    std::net::IpAddr,
    VpcId,
    VpcCidrAssociationId,
    SubnetId,
    SubnetCidrAssociationId,
    RouteTableId,
    RouteTableAssociationId,
    PeeringId,
    SecurityGroupId,
    SecurityGroupRuleId,
    NetworkAclId,
    NetworkAclAssociationId,
    NetworkInterfaceId,
    AttachmentId,
    InterfacePermissionId,
    InstanceId,
    ReservationId,
    ImageId,
    VolumeId,
    InternetGatewayId,
    EgressOnlyInternetGatewayId,
    NatGatewayId,
    AllocationId,
    AddressAssociationId,
    DhcpOptionsId,
    FlowLogId,
    InsightsPathId,
    InsightsAnalysisId,
    AccessScopeId,
    AccessScopeAnalysisId,
    PrefixListId,
    TransitGatewayId,
    KeyPairId,
    SubnetCidrReservationId,
    VpnGatewayId,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_stays_readable_xml() {
        let mut xml = Xml::document();
        xml.text("a", "<b>&\"\u{0}\u{1b}]]> é\u{ffff}");
        let text = xml.finish();
        let document = roxmltree::Document::parse(&text).unwrap();
        assert_eq!(document.root_element().text(), Some("<b>&\"\u{fffd}\u{fffd}]]> é\u{fffd}"));
    }

    #[test]
    fn absent_members_are_left_out_and_lists_are_wrapped() {
        let mut xml = Xml::default();
        None::<String>.write("gone", &mut xml);
        vec![true, false].write("list", &mut xml);
        Vec::<bool>::new().write("empty", &mut xml);
        assert_eq!(xml.finish(), "<list><item>true</item><item>false</item></list><empty></empty>");
    }
}
