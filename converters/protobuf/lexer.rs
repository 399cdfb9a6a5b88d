//! Words of a `.proto` text.

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// A keyword or a name.
    Word(&'t str),
    /// As it is written, without a sign.
    Number(&'t str),
    /// The bytes between the quotes, escapes undone; what is no UTF-8 is replaced.
    Text(String),
    Symbol(u8),
    End,
}

/// Cuts a text into words, comments left out.
#[derive(Clone)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// The line that is read, counted from 1.
    pub fn line(&self) -> usize {
        1 + self.text.as_bytes()[..self.at].iter().filter(|byte| **byte == b'\n').count()
    }

    fn rest(&self) -> &'t [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn skip_space(&mut self) -> Result<(), String> {
        loop {
            let rest = self.rest();
            let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0b);
            self.at += space.count();
            let rest = self.rest();
            // A mark of the byte order, as some editors write it.
            if self.at == 0 && rest.starts_with("\u{feff}".as_bytes()) {
                self.at += 3;
            } else if rest.starts_with(b"//") {
                self.at += rest.iter().take_while(|byte| **byte != b'\n').count();
            } else if rest.starts_with(b"/*") {
                let end = self.text.get(self.at + 2..).and_then(|text| text.find("*/"));
                self.at += 4 + end.ok_or("a comment does not end")?;
            } else {
                return Ok(());
            }
        }
    }

    /// The next word.
    pub fn next(&mut self) -> Result<Token<'t>, String> {
        self.skip_space()?;
        let rest = self.rest();
        let Some(first) = rest.first() else { return Ok(Token::End) };
        let from = self.at;
        if first.is_ascii_alphabetic() || *first == b'_' {
            let word = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
            self.at += rest.iter().take_while(word).count();
            return Ok(Token::Word(&self.text[from..self.at]));
        }
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        if digit(Some(first)) || (*first == b'.' && digit(rest.get(1))) {
            self.at += number_length(rest);
            return Ok(Token::Number(&self.text[from..self.at]));
        }
        if matches!(first, b'"' | b'\'') {
            return self.quoted(*first);
        }
        if first.is_ascii() {
            self.at += 1;
            return Ok(Token::Symbol(*first));
        }
        Err("a character that does not belong there".to_owned())
    }

    fn quoted(&mut self, quote: u8) -> Result<Token<'t>, String> {
        const OPEN: &str = "a text has no end";
        let mut bytes = Vec::new();
        self.at += 1;
        loop {
            let byte = *self.rest().first().ok_or(OPEN)?;
            self.at += 1;
            match byte {
                b'\n' => return Err(OPEN.to_owned()),
                b'\\' => self.escape(&mut bytes)?,
                byte if byte == quote => break,
                byte => bytes.push(byte),
            }
        }
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Ok(Token::Text(text))
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let letter = *self.rest().first().ok_or("a text has no end")?;
        self.at += 1;
        let plain = match letter {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'x' | b'X' => self.digits(16, 2)? as u8,
            b'0'..=b'7' => {
                self.at -= 1;
                self.digits(8, 3)? as u8
            }
            b'u' | b'U' => {
                let code = self.digits(16, if letter == b'u' { 4 } else { 8 })?;
                let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            other => other,
        };
        bytes.push(plain);
        Ok(())
    }

    fn digits(&mut self, radix: u32, most: usize) -> Result<u32, String> {
        let digits = self.rest().iter().take(most);
        let count = digits.take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let text = &self.text[self.at..self.at + count];
        self.at += count;
        u32::from_str_radix(text, radix).map_err(|_| "an escape without digits".to_owned())
    }
}

/// Digits, letters and a dot, and a sign behind an exponent.
fn number_length(rest: &[u8]) -> usize {
    let hex = rest.len() > 1 && rest[0] == b'0' && matches!(rest[1], b'x' | b'X');
    let mut at = 0;
    while let Some(byte) = rest.get(at) {
        let sign =
            matches!(byte, b'+' | b'-') && !hex && at > 0 && matches!(rest[at - 1], b'e' | b'E');
        if !byte.is_ascii_alphanumeric() && *byte != b'.' && !sign {
            break;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<Token<'_>>, String> {
        let mut lexer = Lexer::new(text);
        let mut all = Vec::new();
        loop {
            match lexer.next()? {
                Token::End => return Ok(all),
                token => all.push(token),
            }
        }
    }

    #[test]
    fn what_words_are() {
        let text =
            "\u{feff}a_1 /* b\n*/ = // c\n 0x1F -1.5e-3 .5 'it''s' \"\\x41\\101\\n\\\"\\u00e9\";";
        let expected = vec![
            Token::Word("a_1"),
            Token::Symbol(b'='),
            Token::Number("0x1F"),
            Token::Symbol(b'-'),
            Token::Number("1.5e-3"),
            Token::Number(".5"),
            Token::Text("it".to_owned()),
            Token::Text("s".to_owned()),
            Token::Text("AA\n\"é".to_owned()),
            Token::Symbol(b';'),
        ];
        assert_eq!(words(text), Ok(expected));
        for broken in ["/* a", "/*/", "\"a", "'a\n'", "\"\\", "\"\\x\"", "é"] {
            assert!(words(broken).is_err(), "{broken}");
        }
    }
}
