//! Reads a `.proto` text: proto2, proto3 and editions.
//!
//! Of options, only those are kept that change what data means to Connect. Groups, services and
//! extensions are read over, as Confluent's converter does.

use super::file::{Encoding, EnumDef, FieldDef, File, Label, MessageDef, Scalar, Syntax, TypeName};
use super::lexer::{Lexer, Token};
use super::options::{Opt, encoding, meta_params, option_named};
use super::scalar::integer_of;

/// Messages in messages, and values in options.
pub(super) const MAX_DEPTH: usize = 60;

/// The largest number of a field.
const MAX_NUMBER: u32 = (1 << 29) - 1;

/// The file; the error names the line.
pub(super) fn parse(text: &str) -> Result<File, String> {
    let mut parser = Parser { lexer: Lexer::new(text), peeked: None, editions: false };
    match parser.file() {
        Ok(file) => Ok(file),
        Err(why) => Err(format!("line {} of the .proto text: {why}", parser.lexer.line())),
    }
}

pub(super) struct Parser<'t> {
    lexer: Lexer<'t>,
    peeked: Option<Token<'t>>,
    /// The file is one of an edition: it may have features.
    editions: bool,
}

impl<'t> Parser<'t> {
    pub(super) fn next(&mut self) -> Result<Token<'t>, String> {
        match self.peeked.take() {
            Some(token) => Ok(token),
            None => self.lexer.next(),
        }
    }

    pub(super) fn peek(&mut self) -> Result<&Token<'t>, String> {
        let token = self.next()?;
        Ok(self.peeked.insert(token))
    }

    pub(super) fn unexpected(&self, token: &Token<'_>, wanted: &str) -> String {
        let found = match token {
            Token::Word(text) | Token::Number(text) => format!("'{text}'"),
            Token::Text(text) => format!("\"{text}\""),
            Token::Symbol(symbol) => format!("'{}'", char::from(*symbol)),
            Token::End => "the end".to_owned(),
        };
        format!("found {found} in place of {wanted}")
    }

    /// Whether that symbol stands there; then it is read.
    pub(super) fn take(&mut self, symbol: u8) -> Result<bool, String> {
        let there = *self.peek()? == Token::Symbol(symbol);
        if there {
            self.peeked = None;
        }
        Ok(there)
    }

    pub(super) fn expect(&mut self, symbol: u8) -> Result<(), String> {
        match self.next()? {
            Token::Symbol(found) if found == symbol => Ok(()),
            other => Err(self.unexpected(&other, &format!("'{}'", char::from(symbol)))),
        }
    }

    pub(super) fn word(&mut self, wanted: &str) -> Result<&'t str, String> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            other => Err(self.unexpected(&other, wanted)),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Text(text) => Ok(text),
            other => Err(self.unexpected(&other, "a text")),
        }
    }

    /// `.a.b.c`, of which the first word may have been read.
    fn dotted(&mut self, first: Option<&str>) -> Result<String, String> {
        let mut name = String::new();
        match first {
            Some(first) => name.push_str(first),
            None => {
                if self.take(b'.')? {
                    name.push('.');
                }
                name.push_str(self.word("a name")?);
            }
        }
        while self.take(b'.')? {
            name.push('.');
            name.push_str(self.word("a name")?);
        }
        Ok(name)
    }

    fn integer(&mut self) -> Result<i64, String> {
        let negative = self.take(b'-')?;
        match self.next()? {
            Token::Number(text) => {
                let number = integer_of(text).and_then(|number| i64::try_from(number).ok());
                let number = number.ok_or_else(|| format!("'{text}' is no integer"))?;
                Ok(if negative { -number } else { number })
            }
            other => Err(self.unexpected(&other, "an integer")),
        }
    }

    /// Reads up to a semicolon that stands in no bracket.
    fn skip_statement(&mut self) -> Result<(), String> {
        let mut depth = 0usize;
        loop {
            match self.next()? {
                Token::Symbol(b'{' | b'[') => depth += 1,
                Token::Symbol(b'}' | b']') => {
                    depth = depth.checked_sub(1).ok_or("a bracket is not opened")?;
                }
                Token::Symbol(b';') if depth == 0 => return Ok(()),
                Token::End => return Err("a statement has no end".to_owned()),
                _ => {}
            }
        }
    }

    /// Reads over `… { … }`.
    fn skip_block(&mut self) -> Result<(), String> {
        let mut depth = 0usize;
        loop {
            match self.next()? {
                Token::Symbol(b'{') => depth += 1,
                Token::Symbol(b'}') => {
                    depth = depth.checked_sub(1).ok_or("a brace is not opened")?;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                Token::End => return Err("a block has no end".to_owned()),
                _ => {}
            }
        }
    }

    fn file(&mut self) -> Result<File, String> {
        let mut file = File::default();
        loop {
            let word = match self.next()? {
                Token::End => return Ok(file),
                Token::Symbol(b';') => continue,
                Token::Word(word) => word,
                other => return Err(self.unexpected(&other, "a declaration")),
            };
            match word {
                "syntax" => {
                    self.expect(b'=')?;
                    file.syntax = match &*self.text()? {
                        "proto2" => Syntax::Proto2,
                        "proto3" => Syntax::Proto3,
                        other => return Err(format!("the syntax {other} is not known")),
                    };
                    self.expect(b';')?;
                }
                "edition" => {
                    file.syntax = Syntax::Edition;
                    self.editions = true;
                    self.skip_statement()?;
                }
                "package" => {
                    file.package = self.dotted(None)?;
                    self.expect(b';')?;
                }
                "import" => self.import(&mut file)?,
                "option" => {
                    let option = self.option()?;
                    file.encoding = self.encoding_of(&option)?.or(file.encoding);
                    self.expect(b';')?;
                }
                "message" => file.messages.push(self.message(0)?),
                "enum" => file.enums.push(self.enumeration()?),
                "extend" | "service" => {
                    file.has_others = true;
                    self.skip_block()?;
                }
                // Visibility, of edition 2024.
                "export" | "local" => {}
                other => return Err(format!("'{other}' begins no declaration")),
            }
        }
    }

    fn import(&mut self, file: &mut File) -> Result<(), String> {
        let mut public = false;
        let name = loop {
            match self.next()? {
                Token::Word(word) => public |= word == "public",
                Token::Text(name) => break name,
                other => return Err(self.unexpected(&other, "a file's name")),
            }
        };
        let imports = if public { &mut file.public_imports } else { &mut file.imports };
        imports.push(name);
        self.expect(b';')
    }

    fn message(&mut self, depth: usize) -> Result<MessageDef, String> {
        let name = self.word("a message's name")?.to_owned();
        self.expect(b'{')?;
        self.message_body(name, depth)
    }

    fn message_body(&mut self, name: String, depth: usize) -> Result<MessageDef, String> {
        if depth > MAX_DEPTH {
            return Err("messages nest too deeply".to_owned());
        }
        let mut message = MessageDef { name, ..MessageDef::default() };
        loop {
            match self.next()? {
                Token::Symbol(b'}') => return Ok(message),
                Token::Symbol(b';') => {}
                Token::Symbol(b'.') => {
                    let type_ = format!(".{}", self.dotted(None)?);
                    self.field(&mut message, Label::None, &type_, None)?;
                }
                Token::Word(word) => self.member(&mut message, word, depth)?,
                other => return Err(self.unexpected(&other, "a field")),
            }
        }
    }

    /// What begins with that word in a message.
    fn member(&mut self, message: &mut MessageDef, word: &str, depth: usize) -> Result<(), String> {
        // A type may be named as a keyword is: then a name follows.
        let names = matches!(self.peek()?, Token::Word(_));
        match word {
            "message" if names => message.messages.push(self.message(depth + 1)?),
            "enum" if names => message.enums.push(self.enumeration()?),
            "oneof" if names => self.oneof(message, depth)?,
            "extend" => self.skip_block()?,
            "extensions" | "reserved" => self.skip_statement()?,
            "option" => {
                let option = self.option()?;
                message.map_entry |= option.0 == "map_entry" && option.1.is_true();
                message.encoding = self.encoding_of(&option)?.or(message.encoding);
                self.expect(b';')?;
            }
            "export" | "local" if names => {}
            "optional" => self.labelled(message, Label::Optional, depth)?,
            "required" => self.labelled(message, Label::Required, depth)?,
            "repeated" => self.labelled(message, Label::Repeated, depth)?,
            "group" => self.group(depth)?,
            _ => self.typed(message, Label::None, word, None)?,
        }
        Ok(())
    }

    fn labelled(
        &mut self,
        message: &mut MessageDef,
        label: Label,
        depth: usize,
    ) -> Result<(), String> {
        if self.take(b'.')? {
            let type_ = format!(".{}", self.dotted(None)?);
            return self.field(message, label, &type_, None);
        }
        match self.word("a type")? {
            "group" => self.group(depth),
            word => self.typed(message, label, word, None),
        }
    }

    /// A field whose type begins with that word.
    fn typed(
        &mut self,
        message: &mut MessageDef,
        label: Label,
        word: &str,
        oneof: Option<usize>,
    ) -> Result<(), String> {
        if word == "map" && self.take(b'<')? {
            let key = self.word("a map's key")?;
            let key = Scalar::by_name(key).ok_or_else(|| format!("'{key}' is no key of a map"))?;
            self.expect(b',')?;
            let value = type_name(&self.dotted(None)?);
            self.expect(b'>')?;
            let type_ = TypeName::Map(key, Box::new(value));
            return self.field_of(message, label, type_, oneof);
        }
        let type_ = self.dotted(Some(word))?;
        self.field(message, label, &type_, oneof)
    }

    fn field(
        &mut self,
        message: &mut MessageDef,
        label: Label,
        type_: &str,
        oneof: Option<usize>,
    ) -> Result<(), String> {
        self.field_of(message, label, type_name(type_), oneof)
    }

    fn field_of(
        &mut self,
        message: &mut MessageDef,
        label: Label,
        type_: TypeName,
        oneof: Option<usize>,
    ) -> Result<(), String> {
        let name = self.word("a field's name")?.to_owned();
        self.expect(b'=')?;
        let number = self.integer()?;
        let number = u32::try_from(number).ok().filter(|number| (1..=MAX_NUMBER).contains(number));
        let number = number.ok_or_else(|| format!("the number of {name} is out of range"))?;
        let options = self.bracketed_options()?;
        let mut encoding = None;
        for option in &options {
            encoding = self.encoding_of(option)?.or(encoding);
        }
        self.expect(b';')?;
        let default = option_named(&options, "default").and_then(|value| value.text());
        message.fields.push(FieldDef {
            name,
            number,
            label,
            type_,
            oneof,
            default: default.map(str::to_owned),
            packed: option_named(&options, "packed").map(|value| value.is_true()),
            params: meta_params(&options),
            encoding,
        });
        Ok(())
    }

    fn oneof(&mut self, message: &mut MessageDef, depth: usize) -> Result<(), String> {
        let (at, first, mut encoding) = (message.oneofs.len(), message.fields.len(), None);
        message.oneofs.push(self.word("a oneof's name")?.to_owned());
        self.expect(b'{')?;
        loop {
            match self.next()? {
                Token::Symbol(b'}') => {
                    let members = &mut message.fields[first..];
                    members.iter_mut().for_each(|one| one.encoding = one.encoding.or(encoding));
                    return Ok(());
                }
                Token::Symbol(b';') => {}
                Token::Symbol(b'.') => {
                    let type_ = format!(".{}", self.dotted(None)?);
                    self.field(message, Label::None, &type_, Some(at))?;
                }
                Token::Word("option") => {
                    let option = self.option()?;
                    encoding = self.encoding_of(&option)?.or(encoding);
                    self.expect(b';')?;
                }
                Token::Word("group") => self.group(depth)?,
                Token::Word(word) => self.typed(message, Label::None, word, Some(at))?,
                other => return Err(self.unexpected(&other, "a field")),
            }
        }
    }

    /// `group Name = 1 { … }`, behind the word: its data is read over, too.
    fn group(&mut self, depth: usize) -> Result<(), String> {
        let name = self.word("a group's name")?.to_owned();
        self.expect(b'=')?;
        self.integer()?;
        self.bracketed_options()?;
        self.expect(b'{')?;
        self.message_body(name, depth + 1).map(drop)
    }

    /// What the option says of messages' encoding. Only editions have features: elsewhere one that
    /// changes what data means cannot be anybody's intent.
    fn encoding_of(&self, option: &Opt) -> Result<Option<Encoding>, String> {
        match encoding(option)? {
            Some(_) if !self.editions => {
                Err(format!("{} is there in editions alone (edition = \"2023\";)", option.0))
            }
            found => Ok(found),
        }
    }

    fn enumeration(&mut self) -> Result<EnumDef, String> {
        let mut all = EnumDef { name: self.word("an enum's name")?.to_owned(), values: Vec::new() };
        self.expect(b'{')?;
        loop {
            match self.next()? {
                Token::Symbol(b'}') => return Ok(all),
                Token::Symbol(b';') => {}
                Token::Word(word) => {
                    if self.take(b'=')? {
                        let number = self.integer()?;
                        let number = i32::try_from(number)
                            .map_err(|_| format!("the number of {word} is out of range"))?;
                        self.bracketed_options()?;
                        self.expect(b';')?;
                        all.values.push((word.to_owned(), number));
                    } else if word == "option" {
                        self.option()?;
                        self.expect(b';')?;
                    } else if word == "reserved" {
                        self.skip_statement()?;
                    } else {
                        return Err(format!("'{word}' has no number"));
                    }
                }
                other => return Err(self.unexpected(&other, "a symbol")),
            }
        }
    }
}

fn type_name(text: &str) -> TypeName {
    match Scalar::by_name(text) {
        Some(scalar) => TypeName::Scalar(scalar),
        None => TypeName::Named(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_file_can_say() {
        let file = parse(
            r#"
            syntax = "proto2"; package a.b;
            import "x.proto"; import public "y.proto"; import weak 'z.proto';
            option java_package = "j"; option (my.opt).deep = { a: 1, b { c: [1, 2] } [e.x]: < d: E > };
            message M {
              option deprecated = true;
              reserved 2, 15, 9 to 11; reserved "foo"; extensions 100 to max [declaration = {number: 1; }];
              required int32 id = 1 [deprecated = true, default = -0x10];
              optional .a.b.M next = 3; repeated sint64 many = 4 [packed = true];
              map<string, a.b.M> by = 5;
              optional group G = 6 { optional int32 message = 7; }
              oneof choice { option (x) = 1; string s = 8; .a.b.M m = 9; group H = 10 {} }
              message message { optional int32 enum = 1; } optional message again = 12;
              enum E { option allow_alias = true; reserved 5; A = 0; B = -1 [deprecated = true]; C = 0x10; }
              extend M { optional int32 ext = 100; }
              optional int32 small = 13 [(confluent.field_meta) = { params: [ { value: "7", key: "precision" } ] }];
              optional int32 tiny = 14 [(.confluent.field_meta).params = { key: "connect.type" value: "int8" }];
            }
            service S { rpc R(M) returns (stream M) { option x = 1; } }
            extend M { optional int32 e2 = 101; };
            enum Top { ZERO = 0; }
            "#,
        )
        .unwrap();
        assert_eq!((file.syntax, &*file.package), (Syntax::Proto2, "a.b"));
        assert_eq!(file.imports, ["x.proto", "z.proto"]);
        assert_eq!(file.public_imports, ["y.proto"]);
        let [message] = &file.messages[..] else { panic!() };
        let fields: Vec<String> = message
            .fields
            .iter()
            .map(|field| {
                format!("{:?} {:?} {}={}", field.label, field.type_, field.name, field.number)
            })
            .collect();
        assert_eq!(fields[0], "Required Scalar(Int32) id=1");
        assert_eq!(message.fields[0].default.as_deref(), Some("-0x10"));
        assert_eq!(fields[1], "Optional Named(\".a.b.M\") next=3");
        assert_eq!(message.fields[2].packed, Some(true));
        assert_eq!(fields[3], "None Map(String, Named(\"a.b.M\")) by=5");
        assert_eq!(fields[4], "None Scalar(String) s=8");
        assert_eq!(message.fields[5].oneof, Some(0));
        assert_eq!(fields[6], "Optional Named(\"message\") again=12");
        let pair = |a: &str, b: &str| vec![(a.to_owned(), b.to_owned())];
        assert_eq!(message.fields[7].params, pair("precision", "7"));
        assert_eq!(message.fields[8].params, pair("connect.type", "int8"));
        assert_eq!(message.oneofs, ["choice"]);
        assert_eq!(message.enums[0].values[1], ("B".to_owned(), -1));
        assert_eq!(message.messages[0].fields[0].name, "enum");
        assert_eq!(file.enums[0].name, "Top");
    }

    #[test]
    fn mistakes_have_a_line() {
        for (text, line) in [
            ("syntax = \"proto4\";", 1),
            ("message M {\n int32 = 1;\n}", 2),
            ("message M {\n\n int32 a = 0; }", 3),
            ("message M { int32 a = 536870912; }", 1),
            ("enum E { A; }", 1),
            ("message M {", 1),
            ("syntax = \"proto3\";\noption features.message_encoding = DELIMITED;", 2),
            ("edition = \"2023\";\n\noption features.message_encoding = 2;", 3),
            ("message M { } }", 1),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.starts_with(&format!("line {line} ")), "{text}: {why}");
        }
        let deep = "message M {".repeat(100_000);
        assert!(parse(&deep).unwrap_err().contains("too deeply"));
        let deep = format!("option a = {};", "{a:".repeat(100_000));
        assert!(parse(&deep).unwrap_err().contains("too deeply"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(message|enum|oneof|a|int32|=|1|\\{|\\}|;|\\[|\\]|\"|map|<|,|>| |\\.|option|\\PC)*") {
            let _ = parse(&text);
        }
    }
}
