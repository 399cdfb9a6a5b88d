//! JSONPath as Jayway's library reads it, over Connect data: what Confluent's transforms are
//! configured with.
//!
//! Paths (`$.a['b'][0,-1][1:3].*..c[?(…)]`), and in predicates the operators and literals of the
//! library's version 2.9, with what it does where a path finds nothing. Functions without arguments
//! (`length`, `size`, `min`, `max`, `avg`, `sum`, `first`, `last`) stand at the end of a path in a
//! predicate. Structs are looked into as maps, JSON text without parsing more than the way.

mod compile;
mod condition;
mod condition_compile;
mod evaluate;
mod literal;
mod node;

use condition::Condition;
use millrace_converters::{Arena, DataError, Value};

/// A compiled path.
pub struct JsonPath {
    steps: Vec<Step>,
    /// `$…`: begins at the document, also within a predicate.
    from_root: bool,
    /// The index of the first step that may find several values; the number of steps if there is
    /// none.
    indefinite: usize,
}

/// One step of a path.
enum Step {
    Property(String),
    /// `['a','b']`: one object of these at the end of a path, else each in turn.
    Properties(Vec<String>),
    /// `[1]`, `[0,-1]`; negative ones count from the end.
    Indexes(Vec<i32>),
    /// `[from:to]`.
    Slice(Option<i32>, Option<i32>),
    Wildcard,
    /// `..`: the next step anywhere below.
    Scan,
    Filter(Condition),
    Function(Function),
}

/// A function at the end of a path.
#[derive(Clone, Copy)]
enum Function {
    Length,
    Min,
    Max,
    Average,
    Sum,
    First,
    Last,
}

/// Why a path has no answer.
#[derive(Debug)]
pub enum PathError {
    /// `PathNotFoundException`.
    NotFound(String),
    /// `InvalidPathException`, which a predicate takes for false.
    Invalid(String),
    /// `JsonPathException`.
    Failed(String),
    /// The data could not be read.
    Data(DataError),
}

impl From<PathError> for DataError {
    fn from(error: PathError) -> Self {
        let (class, message) = match error {
            PathError::NotFound(message) => ("com.jayway.jsonpath.PathNotFoundException", message),
            PathError::Invalid(message) => ("com.jayway.jsonpath.InvalidPathException", message),
            PathError::Failed(message) => ("com.jayway.jsonpath.JsonPathException", message),
            PathError::Data(error) => return error,
        };
        DataError::with_class(class, message)
    }
}

impl From<DataError> for PathError {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

impl JsonPath {
    /// # Errors
    /// What is wrong with the path.
    pub fn new(text: &str) -> Result<Self, String> {
        compile::path(text, 0)
    }

    fn of(steps: Vec<Step>, from_root: bool) -> Self {
        let last = steps.len().saturating_sub(1);
        let several = |(at, step): (usize, &Step)| match step {
            Step::Property(_) | Step::Function(_) => false,
            Step::Properties(_) => at != last,
            Step::Indexes(list) => list.len() != 1,
            _ => true,
        };
        let indefinite = steps.iter().enumerate().position(several).unwrap_or(steps.len());
        Self { steps, from_root, indefinite }
    }

    /// Finds one value at most.
    pub fn is_definite(&self) -> bool {
        self.indefinite == self.steps.len()
    }

    /// Ends in a function.
    pub fn is_function(&self) -> bool {
        matches!(self.steps.last(), Some(Step::Function(_)))
    }

    /// The values that the path finds in a document, as `read` with `ALWAYS_RETURN_LIST` does.
    ///
    /// # Errors
    /// [`PathError::NotFound`] if a definite path, or the definite part of another, finds nothing.
    pub fn find<'a>(
        &self,
        document: Value<'a>,
        arena: &'a Arena,
    ) -> Result<&'a [Value<'a>], PathError> {
        let found = evaluate::find(self, document, document, false, arena)?;
        if self.is_definite() && found.is_empty() {
            return Err(PathError::NotFound("No results for the path".to_owned()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
