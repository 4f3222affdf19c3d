import IR

/// The lowerings of all supported layers, by class name.
enum KerasLayers {
  /// Lowers one call: reads configuration, inputs and weights, appends to the graph, gives the outputs.
  typealias Lower = @Sendable (KerasCall) throws -> [KerasValue]

  /// One small table per family; a file each.
  private static let table: [String: Lower] = [
    core, activations, convolutions, pooling, normalizations, merging, shapes, recurrences,
  ].reduce(into: [:]) { table, family in table.merge(family) { _, new in new } }

  /// The lowering of a layer; nil if there is none.
  static func lowering(_ layer: KerasModel.Layer) throws -> Lower? {
    // Operators on tensors (`x + y`) stand in Keras 3 files as layers of their own, some with names of layers.
    if let module = layer.module, module.split(separator: ".").contains("ops") {
      return operators[layer.kind]
    }
    return table[layer.kind]
  }

  /// The names that weights of Keras 2 and 3 have.
  static let weightNames: Set<String> = [
    "kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "depthwise_kernel",
    "pointwise_kernel",
    "recurrent_kernel", "embeddings", "alpha", "mean", "variance", "count", "scale",
  ]
}
