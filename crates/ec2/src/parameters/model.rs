//! The names of botocore's EC2 model, as `cargo xtask model` writes them: a line for each action and, after `=`, each structure,
//! with the names of its members as they stand on the wire.
//!
//! ```text
//! CreateVpc CidrBlock DryRun TagSpecification[TagSpecification]
//! = TagSpecification ResourceType Tag[Tag]
//! ```
//!
//! `Name` is a value, `Name[]` a list of values, `Name{Shape}` a structure, `Name[Shape]` a list of structures; `!` at the end:
//! required.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Value,
    Values,
    Structure(&'static str),
    Structures(&'static str),
}

/// A member's name and what is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub name: &'static str,
    pub form: Form,
    pub is_required: bool,
}

#[derive(Debug, Default)]
pub struct Model {
    actions: BTreeMap<&'static str, Vec<Token>>,
    shapes: BTreeMap<&'static str, Vec<Token>>,
}

impl Model {
    pub fn parse(text: &'static str) -> Model {
        let mut model = Model::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (into, line) = match line.strip_prefix("= ") {
                Some(rest) => (&mut model.shapes, rest),
                None => (&mut model.actions, line),
            };
            let mut words = line.split_ascii_whitespace();
            let Some(name) = words.next() else { continue };
            into.insert(name, words.map(Token::parse).collect());
        }
        model
    }

    pub fn has(&self, action: &str) -> bool {
        self.actions.contains_key(action)
    }

    /// Nothing for an action that is not there.
    pub fn action(&self, name: &str) -> &[Token] {
        self.actions.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Nothing for a structure that is not there.
    pub fn shape(&self, name: &str) -> &[Token] {
        self.shapes.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Token {
    fn parse(word: &'static str) -> Token {
        let (word, is_required) = word.strip_suffix('!').map_or((word, false), |word| (word, true));
        let inside = |open: char, close: char| word.strip_suffix(close)?.split_once(open);
        let (name, form) = match (inside('[', ']'), inside('{', '}')) {
            (Some((name, "")), _) => (name, Form::Values),
            (Some((name, shape)), _) => (name, Form::Structures(shape)),
            (None, Some((name, shape))) => (name, Form::Structure(shape)),
            (None, None) => (word, Form::Value),
        };
        Token { name, form, is_required }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let model = Model::parse("# from botocore\nDo A B[] C{S}! D[S]\n= S E!\n");
        let token = |name, form, is_required| Token { name, form, is_required };
        assert_eq!(
            model.action("Do"),
            [
                token("A", Form::Value, false),
                token("B", Form::Values, false),
                token("C", Form::Structure("S"), true),
                token("D", Form::Structures("S"), false),
            ]
        );
        assert_eq!(model.shape("S"), [token("E", Form::Value, true)]);
        assert!(model.has("Do") && !model.has("S") && model.action("Undo").is_empty());
    }
}
