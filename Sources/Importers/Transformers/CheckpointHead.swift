import IR
import Language

/// What a checkpoint's class puts on top of the transformer, as `architectures` of `config.json` says.
enum CheckpointHead {
  /// Hidden states are the output.
  case none
  case nextToken
  case classes
  /// BERT's classifier of sentence pairs.
  case nextSentence
  /// The file does not say; the names of its tensors tell.
  case unsaid

  /// - Throws: `UnsupportedOperator` for a class whose head is not known.
  init(_ configuration: ModelConfiguration) throws {
    guard let architecture = configuration.architecture else {
      self = .unsaid
      return
    }
    let prefixes = Self.prefixes[configuration.modelType] ?? []
    let suffix = prefixes.first { architecture.hasPrefix($0) }.map { architecture.dropFirst($0.count) }
    switch suffix {
    case "Model": self = .none
    case "LMHeadModel" where configuration.family == .gpt2: self = .nextToken
    case "ForSequenceClassification": self = .classes
    case "ForNextSentencePrediction" where configuration.modelType == "bert": self = .nextSentence
    default:
      throw UnsupportedOperator(
        node: "config.json", operatorName: architecture, attribute: "architectures",
        reason:
          "this head on a \(configuration.modelType) model is not supported; hidden states, next tokens of GPT-2 "
          + "and classes of a sequence are. The transformer without its head is what "
          + "AutoModel.from_pretrained(..).save_pretrained(..) writes")
    }
  }

  private static let robertas = ["XLMRoberta", "Roberta", "Camembert"]
  private static let prefixes = [
    "gpt2": ["GPT2"], "bert": ["Bert"], "distilbert": ["DistilBert"], "electra": ["Electra"],
    "roberta": robertas, "xlm-roberta": robertas, "camembert": robertas,
  ]
}
