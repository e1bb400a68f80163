//! A small client of our own API: requests by their Query names, and the AWS CLI's line for each.
//!
//! It signs for nobody: the access key is an account of 12 digits, which `up` and `demo` take at its word (spec 1.5).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use ec2::service::Service;
use model::{AccountId, Region, Time};

/// No answer of the demo's size takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer, in bytes.
const ANSWER_MAX: u64 = 16 << 20;
/// Of Peerway's own service.
const PEERWAY_VERSION: &str = "2026-11-01";

/// Who asks, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    pub account: AccountId,
    pub region: Region,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    side: Side,
    service: Service,
    action: &'static str,
    /// By their Query names, such as `Filter.1.Value.1`.
    parameters: Vec<(String, String)>,
}

/// The document of an answer that says yes.
#[derive(Debug)]
pub struct Reply(String);

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{code}: {message}")]
    Refused { code: String, message: String },
    #[error("the API at {0} does not answer")]
    Silent(SocketAddr, #[source] io::Error),
    #[error("the API's answer is not {0}")]
    Answer(&'static str),
}

impl Call {
    pub fn ec2(side: Side, action: &'static str, parameters: &[(&str, &str)]) -> Call {
        Call::new(side, Service::Ec2, action, parameters)
    }

    /// An action of Peerway's own service.
    pub fn peerway(side: Side, action: &'static str, parameters: &[(&str, &str)]) -> Call {
        Call::new(side, Service::Peerway, action, parameters)
    }

    fn new(side: Side, service: Service, action: &'static str, parameters: &[(&str, &str)]) -> Call {
        let parameters = parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Call { side, service, action, parameters }
    }

    /// Asks, on a connection of its own; blocks.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn send(&self, address: SocketAddr) -> Result<Reply, CallError> {
        let answer = self.exchange(address).map_err(|error| CallError::Silent(address, error))?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(CallError::Answer("HTTP"))?;
        let status = head.split(' ').nth(1).ok_or(CallError::Answer("HTTP"))?;
        let document = roxmltree::Document::parse(body).map_err(|_| CallError::Answer("XML"))?;
        if status == "200" {
            return Ok(Reply(body.into()));
        }
        // The services' error documents differ in their namespaces and their nesting only.
        let text = |name: &str| {
            let found = document.descendants().find(|node| node.tag_name().name() == name);
            found.and_then(|node| node.text()).unwrap_or_default().to_owned()
        };
        Err(CallError::Refused { code: text("Code"), message: text("Message") })
    }

    fn exchange(&self, address: SocketAddr) -> io::Result<String> {
        let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        connection.write_all(self.request(address, now()).as_bytes())?;
        let mut answer = String::new();
        connection.take(ANSWER_MAX).read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn request(&self, address: SocketAddr, now: Time) -> String {
        let body = self.body();
        let moment = basic_form(now);
        let Side { account, region } = self.side;
        let (service, day) = (self.service.name(), &moment[..8]);
        let credential = format!("{account}/{day}/{region}/{service}/aws4_request");
        format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-Amz-Date: {moment}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date, Signature=any\r\n\
             Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn body(&self) -> String {
        let version = match self.service {
            Service::Peerway => PEERWAY_VERSION,
            _ => ec2::action::VERSION,
        };
        let mut body = format!("Action={}&Version={version}", self.action);
        for (name, value) in &self.parameters {
            body.push('&');
            body.push_str(&form_encode(name));
            body.push('=');
            body.push_str(&form_encode(value));
        }
        body
    }

    /// The same request as a line for a shell. Endpoint and secret come from the environment. An action that the AWS CLI
    /// does not know is a comment.
    pub fn command_line(&self) -> String {
        let Side { account, region } = self.side;
        if self.service != Service::Ec2 {
            let parameters: Vec<_> = self.parameters.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            return format!("# {}{} (Peerway's own service, for tests)", self.action, parameters.concat());
        }
        let mut line = format!("AWS_ACCESS_KEY_ID={account} aws ec2 {}", kebab(self.action));
        for (option, value) in options(self.action, &Tree::of(&self.parameters)) {
            line.push_str(&format!(" --{option} {value}"));
        }
        format!("{line} --region {region}")
    }
}

impl Reply {
    /// The text of the first element at this path of names below the root, such as `vpc/vpcId`; `*` is any one name.
    pub fn text(&self, path: &str) -> Option<String> {
        self.texts(path).into_iter().next()
    }

    /// The texts of all elements at this path.
    pub fn texts(&self, path: &str) -> Vec<String> {
        let Ok(document) = roxmltree::Document::parse(&self.0) else { return Vec::new() };
        let mut found = vec![document.root_element()];
        for name in path.split('/') {
            let children = found.iter().flat_map(roxmltree::Node::children);
            found =
                children.filter(|node| node.is_element() && (name == "*" || node.tag_name().name() == name)).collect();
        }
        found.iter().map(|node| node.text().unwrap_or_default().to_owned()).collect()
    }

    /// Like [`Reply::text`], for what must be there.
    ///
    /// # Errors
    /// [`CallError::Answer`].
    pub fn must(&self, path: &'static str) -> Result<String, CallError> {
        self.text(path).ok_or(CallError::Answer(path))
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// `20260115T120000Z`, as signatures have it.
fn basic_form(time: Time) -> String {
    let text = time.to_string().replace(['-', ':'], "");
    text.split_once('.').map_or(text.clone(), |(whole, _)| format!("{whole}Z"))
}

/// RFC 3986: all but unreserved characters by their bytes.
pub(crate) fn form_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Parameters by the parts of their names.
enum Tree<'p> {
    Text(&'p str),
    /// Named members, in the order given; those of a list are numbers.
    Members(Vec<(&'p str, Tree<'p>)>),
}

impl<'p> Tree<'p> {
    fn of(parameters: &'p [(String, String)]) -> Tree<'p> {
        let mut root = Tree::Members(Vec::new());
        for (name, value) in parameters {
            root.insert(name, value);
        }
        root
    }

    fn insert(&mut self, name: &'p str, value: &'p str) {
        let Tree::Members(members) = self else { return };
        let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
        let Some(rest) = rest else { return members.push((first, Tree::Text(value))) };
        let at = members.iter().position(|(known, _)| *known == first).unwrap_or_else(|| {
            members.push((first, Tree::Members(Vec::new())));
            members.len() - 1
        });
        members[at].1.insert(rest, value);
    }

    fn is_list(&self) -> bool {
        matches!(self, Tree::Members(members) if members.iter().all(|(name, _)| name.bytes().all(|b| b.is_ascii_digit())))
    }

    /// The AWS CLI's shorthand for what stands inside an option.
    fn shorthand(&self) -> String {
        match self {
            Tree::Text(text) => (*text).into(),
            Tree::Members(members) if self.is_list() => {
                let items: Vec<_> = members.iter().map(|(_, item)| item.shorthand()).collect();
                format!("[{}]", items.join(","))
            }
            Tree::Members(_) => format!("{{{}}}", self.pairs()),
        }
    }

    fn pairs(&self) -> String {
        let Tree::Members(members) = self else { return self.shorthand() };
        let pairs: Vec<_> =
            members.iter().map(|(name, tree)| format!("{}={}", member_name(name, tree), tree.shorthand())).collect();
        pairs.join(",")
    }
}

/// The CLI calls a list by its plural, the Query protocol mostly does not.
fn member_name(name: &str, tree: &Tree<'_>) -> String {
    if tree.is_list() && !name.ends_with('s') { format!("{name}s") } else { name.into() }
}

/// Options of the CLI with their values, quoted for a shell.
fn options(action: &str, parameters: &Tree<'_>) -> Vec<(String, String)> {
    let Tree::Members(members) = parameters else { return Vec::new() };
    let mut options = Vec::new();
    for (name, tree) in members {
        match (*name, tree) {
            // The CLI has one option for the two.
            ("MinCount", _) if action == "RunInstances" => {}
            ("MaxCount", Tree::Text(count)) if action == "RunInstances" => options.push(("count".into(), quote(count))),
            ("GroupDescription", Tree::Text(text)) => options.push(("description".into(), quote(text))),
            (name, Tree::Text(text)) => options.push((kebab(name), quote(text))),
            (name, Tree::Members(_)) if !tree.is_list() => options.push((kebab(name), quote(&tree.pairs()))),
            (name, Tree::Members(items)) => {
                let items: Vec<_> = items.iter().map(|(_, item)| quote(&item.pairs())).collect();
                options.push((kebab(&member_name(name, tree)), items.join(" ")));
            }
        }
    }
    options
}

/// `VpcPeeringConnectionId` becomes `vpc-peering-connection-id`.
fn kebab(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('-');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// For a POSIX shell.
fn quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side() -> Side {
        Side { account: "111111111111".parse().unwrap(), region: "us-east-1".parse().unwrap() }
    }

    fn line(action: &'static str, parameters: &[(&str, &str)]) -> String {
        Call::ec2(side(), action, parameters).command_line()
    }

    #[test]
    fn lines_are_the_clis() {
        type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);
        let cases: &[Case] = &[
            ("CreateVpc", &[("CidrBlock", "10.16.0.0/16")], "create-vpc --cidr-block 10.16.0.0/16"),
            (
                "CreateVpc",
                &[
                    ("CidrBlock", "10.16.0.0/16"),
                    ("TagSpecification.1.ResourceType", "vpc"),
                    ("TagSpecification.1.Tag.1.Key", "Name"),
                    ("TagSpecification.1.Tag.1.Value", "A"),
                ],
                "create-vpc --cidr-block 10.16.0.0/16 --tag-specifications 'ResourceType=vpc,Tags=[{Key=Name,Value=A}]'",
            ),
            (
                "CreateVpcPeeringConnection",
                &[
                    ("VpcId", "vpc-1"),
                    ("PeerVpcId", "vpc-2"),
                    ("PeerOwnerId", "222222222222"),
                    ("PeerRegion", "eu-west-1"),
                ],
                "create-vpc-peering-connection --vpc-id vpc-1 --peer-vpc-id vpc-2 --peer-owner-id 222222222222 --peer-region eu-west-1",
            ),
            (
                "DescribeVpcPeeringConnections",
                &[("VpcPeeringConnectionId.1", "pcx-1"), ("VpcPeeringConnectionId.2", "pcx-2")],
                "describe-vpc-peering-connections --vpc-peering-connection-ids pcx-1 pcx-2",
            ),
            (
                "DescribeRouteTables",
                &[("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", "vpc-1"), ("Filter.1.Value.2", "vpc-2")],
                "describe-route-tables --filters 'Name=vpc-id,Values=[vpc-1,vpc-2]'",
            ),
            (
                "RunInstances",
                &[("ImageId", "ami-1"), ("MinCount", "2"), ("MaxCount", "2"), ("SecurityGroupId.1", "sg-1")],
                "run-instances --image-id ami-1 --count 2 --security-group-ids sg-1",
            ),
            (
                "ModifyVpcPeeringConnectionOptions",
                &[
                    ("VpcPeeringConnectionId", "pcx-1"),
                    ("AccepterPeeringConnectionOptions.AllowDnsResolutionFromRemoteVpc", "true"),
                ],
                "modify-vpc-peering-connection-options --vpc-peering-connection-id pcx-1 --accepter-peering-connection-options \
                 AllowDnsResolutionFromRemoteVpc=true",
            ),
            (
                "CreateSecurityGroup",
                &[("GroupName", "web"), ("GroupDescription", "it's for the demo"), ("VpcId", "vpc-1")],
                r"create-security-group --group-name web --description 'it'\''s for the demo' --vpc-id vpc-1",
            ),
            (
                "AuthorizeSecurityGroupIngress",
                &[
                    ("GroupId", "sg-1"),
                    ("IpPermissions.1.IpProtocol", "tcp"),
                    ("IpPermissions.1.FromPort", "80"),
                    ("IpPermissions.1.ToPort", "80"),
                    ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"),
                ],
                "authorize-security-group-ingress --group-id sg-1 --ip-permissions 'IpProtocol=tcp,FromPort=80,ToPort=80,IpRanges=[{CidrIp=10.0.0.0/8}]'",
            ),
        ];
        for (action, parameters, expected) in cases {
            assert_eq!(
                line(action, parameters),
                format!("AWS_ACCESS_KEY_ID=111111111111 aws ec2 {expected} --region us-east-1")
            );
        }
    }

    #[test]
    fn what_the_cli_does_not_know_is_a_comment() {
        let line = Call::peerway(side(), "AdvanceClock", &[("Seconds", "60")]).command_line();
        assert_eq!(line, "# AdvanceClock Seconds=60 (Peerway's own service, for tests)");
    }

    #[test]
    fn requests_are_what_the_server_reads() {
        let call = Call::ec2(side(), "CreateSecurityGroup", &[("GroupName", "a b&c=d")]);
        let node = ec2::Node::parse(call.body().as_bytes()).unwrap();
        assert_eq!((node.text("Action"), node.text("GroupName")), (Some("CreateSecurityGroup"), Some("a b&c=d")));
        assert_eq!(node.text("Version"), Some(ec2::action::VERSION));
        let call = Call::peerway(side(), "AdvanceClock", &[("Seconds", "60")]);
        let node = ec2::Node::parse(call.body().as_bytes()).unwrap();
        assert_eq!(ec2::service::PeerwayRequest::parse(&node).unwrap().name(), "AdvanceClock");
    }

    #[test]
    fn the_claim_is_readable() {
        let time = Time::parse("2026-01-15T12:00:00Z").unwrap();
        assert_eq!(basic_form(time), "20260115T120000Z");
        let request = Call::ec2(side(), "DescribeVpcs", &[]).request("127.0.0.1:1".parse().unwrap(), time);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let headers: Vec<(String, String)> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.into()))
            .collect();
        let signed =
            ec2::signature::Signed { method: "POST", path: "/", query: "", headers: &headers, body: body.as_bytes() };
        let claim = ec2::signature::Claim::read(&signed).unwrap();
        assert_eq!(
            (claim.access_key.as_str(), claim.region.as_str(), claim.service.as_str(), claim.time),
            ("111111111111", "us-east-1", "ec2", time)
        );
    }

    #[test]
    fn replies_are_read_by_path() {
        let reply = Reply(
            "<R xmlns=\"n\"><set><item><id>a</id></item><item><id>b</id><s><id>c</id></s></item></set></R>".into(),
        );
        assert_eq!(reply.texts("set/item/id"), ["a", "b"]);
        assert_eq!(reply.text("set/*/s/id").as_deref(), Some("c"));
        assert!(matches!(reply.must("set/id"), Err(CallError::Answer("set/id"))));
    }
}
