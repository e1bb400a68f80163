//! How a shape is declared: its members once, with the wire's name beside each.

/// A request: `operation! { CreateVpc -> CreateVpcResponse { cidr_block: Option<Ipv4Cidr> = "CidrBlock", } }`.
///
/// A member reads itself with [`FromQuery`](crate::FromQuery): `Option` may be missing, `Vec` is a numbered list, all else is
/// required.
macro_rules! operation {
    ($(#[$doc:meta])* $name:ident -> $reply:ty { $($members:tt)* }) => {
        input! { $(#[$doc])* $name { $($members)* } }

        impl $crate::Operation for $name {
            const NAME: &'static str = stringify!($name);
            type Reply = $reply;
        }
    };
}

/// A structure inside a request.
macro_rules! input {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $wire:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl $crate::FromQuery for $name {
            fn from_query(node: Option<&$crate::Node>, name: &str) -> Result<Self, $crate::Error> {
                let _ = (node, name);
                Ok($name {
                    $($field: $crate::FromQuery::from_query(
                        node.and_then(|node| node.member($wire)),
                        &$crate::value::path(name, $wire),
                    )?,)*
                })
            }

            fn reads() -> $crate::Members {
                $crate::Members::Structure(vec![$($crate::Member {
                    name: $wire,
                    members: <$kind as $crate::FromQuery>::reads,
                    is_required: <$kind as $crate::FromQuery>::IS_REQUIRED,
                },)*])
            }
        }
    };
}

/// A structure of a response, or a whole one.
macro_rules! output {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $wire:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl $crate::Shape for $name {
            fn members(&self, xml: &mut $crate::Xml) {
                let _ = &xml;
                $($crate::ToXml::write(&self.$field, $wire, xml);)*
            }
        }

        impl $crate::ToXml for $name {
            fn write(&self, name: &str, xml: &mut $crate::Xml) {
                xml.element(name, |xml| $crate::Shape::members(self, xml));
            }

            fn writes() -> $crate::Members {
                $crate::Members::Structure(vec![$($crate::Member {
                    name: $wire,
                    members: <$kind as $crate::ToXml>::writes,
                    is_required: false,
                },)*])
            }
        }
    };
}
