import ArgumentParser
import CKernels
import CommandSupport

/// The command `cdt`: contextual decomposition and circuit discovery in transformers.
struct CDT: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cdt",
    abstract: "Contextual decomposition and circuit discovery in transformers.",
    discussion: """
      MODEL is a HuggingFace folder (config.json, model.safetensors, tokenizer.json or a vocabulary) of the GPT-2 or \
      BERT family, or an ONNX file in whose graph attention can be recognised. Nothing is fetched from the network and no weight is rewritten.
      Exit codes: 0 an answer was printed, 1 usage, 2 bad input, 3 unsupported, 4 a check failed.
      """,
    version: "cdt 0.1.0",
    subcommands: [
      Circuits.self, Attribute.self, Decompose.self, Run.self, BaselineCommand.self, Inspect.self,
      Tokenize.self, FaithfulnessCommand.self, Compare.self, GraphCommand.self,
    ])
}

@main
enum Main {
  static func main() {
    // Sweeps allocate the same tensors over and over; given back to the system they cost a page fault each time.
    ck_keep_freed_memory()
    CommandRunner.main(CDT.self)
  }
}
