//! Which parameters EC2 knows, and what becomes of each here: read, accepted although nothing comes of it ([`accepted`]), or
//! refused by name. What EC2 does not know either is told to the caller of [`check`], who may refuse it (spec 1.3.3; decision
//! 0044).
//!
//! EC2's part comes from `model/requests.txt`, names that `cargo xtask model` takes from botocore's service model; ours from what
//! the shapes say they read ([`crate::Members`]).

mod accepted;
mod model;

use std::collections::BTreeMap;
use std::sync::OnceLock;

pub use accepted::{ACCEPTED, Accepted, Values};
pub use model::{Form, Model, Token};

use crate::action::{NAMES, reads};
use crate::{Error, Members, Node};

/// EC2's requests.
pub const REQUESTS: &str = include_str!("../../model/requests.txt");

/// A parameter that EC2's model or a shape of ours knows.
#[derive(Debug)]
pub struct Known {
    /// The model has it.
    pub is_ec2s: bool,
    /// A shape reads it, or something in it.
    pub is_read: bool,
    /// EC2 refuses a request without it.
    pub is_required: bool,
    pub is_list: bool,
    /// The model has members here of which the shape says nothing: they are taken as read.
    pub is_vague: bool,
    pub members: Tree,
}

/// Parameters by name; of a list, those of one item.
pub type Tree = BTreeMap<&'static str, Known>;

/// What every request may carry beside its action's own parameters: the envelope, and signatures in a query.
const ENVELOPE: [&str; 8] = [
    "Action",
    "AWSAccessKeyId",
    "Expires",
    "SecurityToken",
    "Signature",
    "SignatureMethod",
    "SignatureVersion",
    "Version",
];
const PRESIGNED: &str = "X-Amz-";

/// Names that are kept of one request, at most, and their length.
const UNKNOWN_MAX: usize = 20;
const NAME_MAX: usize = 200;

/// The names of the parameters that nobody knows, in order.
///
/// # Errors
/// `UnsupportedOperation` for the first one that EC2 knows and that is not implemented here.
pub fn check(action: &str, request: &Node) -> Result<Vec<String>, Error> {
    let Some(tree) = tree(action) else { return Ok(Vec::new()) };
    let mut walk = Walk { action, unknown: Vec::new() };
    for name in request.names().filter(|name| !ENVELOPE.contains(name) && !name.starts_with(PRESIGNED)) {
        let Some(node) = request.member(name) else { continue };
        walk.parameter(node, tree.get(name), name, name)?;
    }
    Ok(walk.unknown)
}

/// Whether a parameter says what is wanted, and not who wants it, by which token or only to try: two requests are the same if these
/// are. A query that is signed anew has another signature.
pub(crate) fn is_what_is_asked(name: &str) -> bool {
    let is_of_signature = ENVELOPE.contains(&name) && !["Action", "Version"].contains(&name);
    !is_of_signature && !name.starts_with(PRESIGNED) && !["ClientToken", "DryRun"].contains(&name)
}

/// `UnknownParameter`, for those who would rather know than have it ignored.
pub fn refuse_unknown(name: &str) -> Error {
    Error::new("UnknownParameter", format!("The parameter {name} is not recognized"))
}

/// What is known of an action's parameters; `None`: there is no such action.
pub fn tree(action: &str) -> Option<&'static Tree> {
    static TREES: OnceLock<BTreeMap<&'static str, Tree>> = OnceLock::new();
    let build = || {
        let model = Model::parse(REQUESTS);
        NAMES.iter().map(|name| (*name, merge(&model, model.action(name), reads(name)))).collect()
    };
    TREES.get_or_init(build).get(action)
}

/// The model's members and the shape's, by name.
fn merge(model: &Model, tokens: &[Token], reads: Option<Members>) -> Tree {
    let ours = match reads {
        Some(Members::Structure(members)) => members,
        _ => Vec::new(),
    };
    let mut tree = Tree::new();
    for token in tokens {
        let own = ours.iter().find(|member| member.name == token.name).map(|member| (member.members)());
        tree.insert(token.name, known(model, token, own));
    }
    for member in ours {
        tree.entry(member.name).or_insert_with(|| only_ours((member.members)(), member.is_required));
    }
    tree
}

fn known(model: &Model, token: &Token, own: Option<Members>) -> Known {
    // Handled before any shape is asked.
    let is_read = own.is_some() || token.name == "DryRun";
    let (is_list, members) = match token.form {
        Form::Value => (false, &[][..]),
        Form::Values => (true, &[][..]),
        Form::Structure(shape) => (false, model.shape(shape)),
        Form::Structures(shape) => (true, model.shape(shape)),
    };
    let own = match own {
        Some(Members::List(item)) if is_list => Some(item()),
        other => other,
    };
    let is_vague = !members.is_empty() && matches!(own, Some(Members::Whole(_) | Members::List(_)));
    let mut members = merge(model, members, own);
    if is_vague {
        members.values_mut().for_each(Known::set_read);
    }
    Known { is_ec2s: true, is_read, is_required: token.is_required, is_list, is_vague, members }
}

/// What a shape reads and the model does not have: an alias, or more lenience than EC2's.
fn only_ours(members: Members, is_required: bool) -> Known {
    let (is_list, item) = match members {
        Members::List(item) => (true, item()),
        other => (false, other),
    };
    let members = match item {
        Members::Structure(members) => {
            members.iter().map(|member| (member.name, only_ours((member.members)(), member.is_required))).collect()
        }
        Members::Whole(_) | Members::List(_) => Tree::new(),
    };
    Known { is_ec2s: false, is_read: true, is_required, is_list, is_vague: false, members }
}

impl Known {
    fn set_read(&mut self) {
        self.is_read = true;
        self.members.values_mut().for_each(Known::set_read);
    }
}

struct Walk<'a> {
    action: &'a str,
    unknown: Vec<String>,
}

impl Walk<'_> {
    /// `name` is as it was sent, `path` without the numbers of list items.
    fn parameter(&mut self, node: &Node, known: Option<&Known>, name: &str, path: &str) -> Result<(), Error> {
        let Some(known) = known else {
            self.note(name);
            return Ok(());
        };
        if !known.is_list {
            self.note_items(node, name);
            return self.inside(node, known, name, path);
        }
        // A list is its items: EC2 reads neither text nor members of its own. SDKs send an empty one as its bare name.
        if node.value().is_some_and(|value| !value.is_empty()) {
            self.note(name);
        }
        node.names().for_each(|member| self.note(&format!("{name}.{member}")));
        for (index, item) in node.items() {
            let name = format!("{name}.{index}");
            self.note_items(item, &name);
            self.inside(item, known, &name, path)?;
        }
        Ok(())
    }

    fn inside(&mut self, node: &Node, known: &Known, name: &str, path: &str) -> Result<(), Error> {
        if let Some(value) = node.value() {
            if !known.members.is_empty() {
                if !value.is_empty() {
                    self.note(name);
                }
            } else if !known.is_read && !accepted::is_accepted(self.action, path, value) {
                return Err(unsupported(name, value));
            }
        }
        for member in node.names() {
            let Some(below) = node.member(member) else { continue };
            let (name, path) = (format!("{name}.{member}"), format!("{path}.{member}"));
            self.parameter(below, known.members.get(member), &name, &path)?;
        }
        Ok(())
    }

    fn note_items(&mut self, node: &Node, name: &str) {
        for (index, _) in node.items() {
            self.note(&format!("{name}.{index}"));
        }
    }

    fn note(&mut self, name: &str) {
        if self.unknown.len() < UNKNOWN_MAX {
            self.unknown.push(name.chars().take(NAME_MAX).collect());
        }
    }
}

fn unsupported(name: &str, value: &str) -> Error {
    let value: String = value.chars().take(NAME_MAX).collect();
    let message = format!("The parameter {name} with the value '{value}' is not supported here; leave it out");
    Error::new("UnsupportedOperation", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(form: &str) -> Result<Vec<String>, Error> {
        let node = Node::parse(form.as_bytes()).unwrap();
        check(node.text("Action").unwrap_or_default(), &node)
    }

    #[test]
    fn what_a_shape_reads_passes_whatever_its_form() {
        for form in [
            "Action=CreateVpc&Version=2016-11-15&CidrBlock=10.0.0.0/16&DryRun=true",
            "Action=CreateVpc&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.3.Key=a&X-Amz-Date=1&Signature=x",
            "Action=DescribeVpcs&Filter.1.Name=vpc-id&Filter.1.Value.1=a&Filter.1.Value.2=b&MaxResults=5",
            "Action=ModifyVpcAttribute&VpcId=vpc-1&EnableDnsSupport.Value=true",
            "Action=CreateRoute&RouteTableId=rtb-1&DestinationCidrBlock=0.0.0.0/0&GatewayId=igw-1",
            "Action=AuthorizeSecurityGroupIngress&GroupId=sg-1&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8",
        ] {
            assert_eq!(checked(form), Ok(Vec::new()), "{form}");
        }
    }

    #[test]
    fn what_ec2_knows_and_nobody_reads_is_refused_by_its_full_name() {
        for (form, name) in [
            ("Action=RunInstances&InstanceMarketOptions.MarketType=spot", "InstanceMarketOptions.MarketType"),
            (
                "Action=RunInstances&LicenseSpecification.2.LicenseConfigurationArn=a",
                "LicenseSpecification.2.LicenseConfigurationArn",
            ),
        ] {
            let error = checked(form).unwrap_err();
            assert_eq!(error.code, "UnsupportedOperation", "{form}");
            assert!(error.message.contains(&format!("The parameter {name} ")), "{}", error.message);
        }
    }

    #[test]
    fn what_nobody_knows_is_told_by_its_full_name() {
        for (form, name) in [
            ("Action=CreateVpc&CidrBlok=10.0.0.0/16", "CidrBlok"),
            ("Action=CreateVpc&CidrBlock.1=10.0.0.0/16", "CidrBlock.1"),
            ("Action=CreateVpc&CidrBlock.Value=10.0.0.0/16", "CidrBlock.Value"),
            ("Action=DescribeVpcs&VpcId=vpc-1", "VpcId"),
            ("Action=DescribeVpcs&VpcId.1.2=vpc-1", "VpcId.1.2"),
            ("Action=DescribeVpcs&Filter.1.Values.1=a", "Filter.1.Values"),
            ("Action=DescribeVpcs&Filter.Name=a", "Filter.Name"),
            ("Action=ModifyVpcAttribute&EnableDnsSupport=true", "EnableDnsSupport"),
        ] {
            assert_eq!(checked(form), Ok(vec![name.to_owned()]), "{form}");
        }
    }

    #[test]
    fn what_is_told_is_bounded() {
        let form: String = (0..100).map(|n| format!("&X{n}{}=1", "y".repeat(500))).collect();
        let unknown = checked(&format!("Action=CreateVpc{form}")).unwrap();
        assert_eq!(unknown.len(), UNKNOWN_MAX);
        assert!(unknown.iter().all(|name| name.len() == NAME_MAX));
    }

    /// Where this fails, a hand-written `FromQuery` of a structure lacks its `reads`.
    #[test]
    fn every_shape_says_what_it_reads() {
        fn vague(path: &str, tree: &Tree, found: &mut Vec<String>) {
            for (name, known) in tree {
                let path = format!("{path}.{name}");
                found.extend(known.is_vague.then(|| path.clone()));
                vague(&path, &known.members, found);
            }
        }
        let mut found = Vec::new();
        NAMES.iter().for_each(|action| vague(action, tree(action).unwrap(), &mut found));
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn every_action_is_in_the_model() {
        let model = Model::parse(REQUESTS);
        let missing: Vec<&&str> = NAMES.iter().filter(|name| !model.has(name)).collect();
        assert!(missing.is_empty(), "run `cargo xtask model`; these actions are new: {missing:?}");
    }
}
