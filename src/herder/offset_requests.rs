//! The herder's answers about offsets: those of source connectors, out of the file.

use millrace_worker::command::SourceOffsetStore;

use crate::requests::{Answer, HerderError, PartitionOffset, Reply};
use crate::source_offsets;
use crate::standalone::StandaloneHerder;

impl StandaloneHerder {
    pub(crate) fn offsets_of(&self, name: &str) -> Answer<Vec<PartitionOffset>> {
        match self.state.is_sink(name) {
            None => Err(HerderError::no_connector(name)),
            Some(true) => Err(no_sink_offsets(name)),
            Some(false) => Ok(source_offsets::of_connector(name, &self.offsets.entries())),
        }
    }

    pub(crate) fn alter_offsets(
        &self,
        name: String,
        offsets: Option<Vec<PartitionOffset>>,
        reply: Reply<String>,
    ) {
        let checked = match self.state.is_sink(&name) {
            None => Err(HerderError::no_connector(&name)),
            Some(_) if !self.state.is_at_rest(&name) => Err(HerderError::bad_request(format!(
                "Connectors must be in the STOPPED state before their offsets can be modified. This \
                 can be done for the specified connector by issuing a 'PUT' request to the \
                 '/connectors/{name}/stop' endpoint"
            ))),
            Some(true) => Err(no_sink_offsets(&name)),
            Some(false) => Ok(()),
        };
        if let Err(error) = checked {
            return reply.send(Err(error));
        }
        let verb = if offsets.is_some() { "altered" } else { "reset" };
        let entries = match offsets {
            Some(offsets) => source_offsets::entries(&name, &offsets),
            None => source_offsets::tombstones(&name, &self.offsets.entries()),
        };
        let message = format!(
            "The Connect framework-managed offsets for this connector have been {verb} \
             successfully. However, if this connector manages offsets externally, they will need to \
             be manually {verb} in the system that the connector uses."
        );
        self.offsets.put(
            entries,
            Box::new(move |result| {
                reply.send(result.map(|()| message).map_err(HerderError::internal));
            }),
        );
    }
}

fn no_sink_offsets(name: &str) -> HerderError {
    HerderError::internal(format!(
        "The offsets of sink connector {name} are those of its consumer group; this worker cannot \
         read or change them yet. Use kafka-consumer-groups --group connect-{name}"
    ))
}
