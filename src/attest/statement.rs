//! in-toto statements (v0.1 and v1): a predicate, and what it is about. [`open`] checks both.

use super::find::{Attestation, Predicate};
use super::read::{Json, read};
use super::{AttestError, Sbom};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// What a statement of any version begins with.
const STATEMENT: &str = "https://in-toto.io/Statement/";

/// A statement whose predicate was read by a seed.
pub(super) struct Statement<T> {
    kind: String,
    predicate_type: String,
    subjects: Vec<Subject>,
    /// None where there is none, or where it is of another type.
    predicate: Option<T>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

/// Reads a statement, and its predicate with another seed where it is of the type that is wanted.
pub(super) struct StatementSeed<S> {
    pub(super) wanted: String,
    pub(super) predicate: S,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for StatementSeed<S> {
    type Value = Statement<S::Value>;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for StatementSeed<S> {
    type Value = Statement<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an in-toto statement")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut statement = Statement {
            kind: String::new(),
            predicate_type: String::new(),
            subjects: Vec::new(),
            predicate: None,
        };
        let mut seed = Some(self.predicate);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "_type" => statement.kind = map.next_value()?,
                "predicateType" => statement.predicate_type = map.next_value()?,
                "subject" => statement.subjects = map.next_value::<Option<_>>()?.unwrap_or_default(),
                "predicate" => {
                    // Writers that sort their keys put the predicate before its type.
                    let is_other = !statement.predicate_type.is_empty() && statement.predicate_type != self.wanted;
                    match seed.take() {
                        _ if is_other => drop(map.next_value::<IgnoredAny>()?),
                        Some(seed) => statement.predicate = Some(map.next_value_seed(seed)?),
                        None => return Err(A::Error::duplicate_field("predicate")),
                    }
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(statement)
    }
}

impl<T> Statement<T> {
    /// The predicate, where the statement is what it is filed as and about the image that it hangs on.
    fn checked(self, attestation: &Attestation) -> Result<T, AttestError> {
        let digest = attestation.content.digest.clone();
        let shape = |reason: &str| AttestError::Shape {
            digest: digest.clone(),
            expected: "in-toto statement",
            reason: reason.to_owned(),
        };
        if !self.kind.starts_with(STATEMENT) {
            return Err(shape(&format!("its type is {:?}", self.kind)));
        }
        if self.predicate_type != attestation.predicate {
            return Err(AttestError::Predicate {
                digest,
                expected: attestation.predicate.clone(),
                found: self.predicate_type,
            });
        }
        let is_own = |subject: &Subject| {
            let sha256 = subject.digest.get("sha256");
            sha256.is_some_and(|sha256| sha256 == attestation.image.hex())
        };
        if !self.subjects.iter().any(is_own) {
            let digests = self.subjects.iter().flat_map(|subject| &subject.digest);
            return Err(AttestError::Foreign {
                digest,
                image: attestation.image.clone(),
                found: digests
                    .map(|(algorithm, value)| format!("{algorithm}:{value}"))
                    .collect(),
            });
        }
        self.predicate.ok_or_else(|| shape("it has no predicate"))
    }
}

/// Reads the predicate of an SBoM with `seed`, after everything about it has been checked.
pub(super) async fn open<T, S>(sbom: &Sbom, seed: S) -> Result<T, AttestError>
where
    T: Send + 'static,
    S: for<'de> DeserializeSeed<'de, Value = T> + Send + 'static,
{
    let attestation = &sbom.attestation;
    let (source, content, image) = (sbom.source.as_ref(), &attestation.content, &attestation.image);
    let expected = match attestation.kind() {
        Predicate::CycloneDx => "CycloneDX document",
        _ => "SPDX document",
    };
    if attestation.is_bare {
        return read(source, content, image, expected, |json| json.parse(seed)).await;
    }
    let seed = StatementSeed {
        wanted: attestation.predicate.clone(),
        predicate: seed,
    };
    match read(source, content, image, expected, |json: Json| json.parse(seed)).await {
        Ok(statement) => statement.checked(attestation),
        // Where the predicate stands before its type, it was taken for what it is filed as. That it is something else says more.
        Err(error @ AttestError::Shape { .. }) => {
            let around = around(attestation);
            let read = read(source, content, image, expected, |json: Json| json.parse(around));
            read.await?.checked(attestation)?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

fn around(attestation: &Attestation) -> Around {
    StatementSeed {
        wanted: attestation.predicate.clone(),
        predicate: std::marker::PhantomData,
    }
}

/// Checks what is around a predicate, of which `work` takes something else than its value.
pub(super) async fn open_raw<T: Send + 'static>(
    sbom: &Sbom,
    work: impl FnOnce(Json, Around) -> Result<(Statement<IgnoredAny>, T), serde_json::Error> + Send + 'static,
) -> Result<T, AttestError> {
    let attestation = &sbom.attestation;
    let (source, content, image) = (sbom.source.as_ref(), &attestation.content, &attestation.image);
    let around = around(attestation);
    let read = read(source, content, image, "in-toto statement", |json| work(json, around));
    let (statement, value) = read.await?;
    statement.checked(attestation)?;
    Ok(value)
}

/// Reads a statement and passes over its predicate.
pub(super) type Around = StatementSeed<std::marker::PhantomData<IgnoredAny>>;
