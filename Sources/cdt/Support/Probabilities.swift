import Foundation

/// softmax of logits.
struct Probabilities {
  let values: [Double]
  init(_ logits: [Double]) {
    let largest = logits.max() ?? 0
    let powers = logits.map { exp($0 - largest) }
    let sum = powers.reduce(0, +)
    values = powers.map { $0 / sum }
  }
}
