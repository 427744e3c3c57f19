import ArgumentParser
import Devices
import Transformer

/// How a Transformer is trained, whatever it learns.
struct TrainingSettings: ParsableArguments {
  @Option(help: "Optimizer steps.")
  var steps = 5000

  @Option(help: "Stop after so many minutes, whatever the steps; the next run goes on.")
  var minutes: Double?

  @Option(help: "Target tokens of a pass.")
  var batchTokens = 2048

  @Option(help: "Passes of a step.")
  var accumulate = 1

  @Option(help: "Steps of rising learning rate; the paper has 4000, which larger models need.")
  var warmup = 1000

  @Option(help: "What the schedule is multiplied by.")
  var rateFactor: Float = 1

  @Option(help: "Clip the gradient's norm.")
  var clip: Float?

  @Option(help: "The seed of weights, order and dropout.")
  var seed: UInt64 = 1

  @Option(
    help: "f32 or bf16: what products round their factors to. Weights stay f32.", transform: choice)
  var precision: ProductPrecision = .bfloat16

  @Flag(help: "Batches of sentences of about one length.")
  var byLength = false

  @Option(help: "Minutes between checkpoints.")
  var checkpointMinutes = 5.0

  @Option(help: "Steps between snapshots of the weights, which are averaged at the end.")
  var snapshotSteps = 250

  @Option(help: "How many of the last snapshots are averaged.")
  var average = 5

  @Option(help: "Steps between validations (loss, and BLEU of greedy translations).")
  var validateSteps = 500

  @Option(help: "Held-out sentences translated at a validation.")
  var validateSentences = 200

  @OptionGroup var ranks: RankOptions

  @OptionGroup var place: ThreadOptions

  var options: TrainingOptions {
    var options = TrainingOptions()
    options.steps = steps
    options.batchTokens = batchTokens
    options.accumulation = max(accumulate, 1)
    options.warmup = warmup
    options.rateFactor = rateFactor
    options.clip = clip
    options.seed = seed
    options.usesBFloat16 = precision == .bfloat16
    options.sortsByLength = byLength
    options.averaged = average
    return options
  }

  func validate() throws {
    for (name, value) in [
      ("steps", steps), ("batch-tokens", batchTokens), ("snapshot-steps", snapshotSteps),
      ("validate-steps", validateSteps), ("average", average), ("accumulate", accumulate),
    ] where value < 1 {
      throw ValidationError("--\(name) must be at least 1")
    }
  }
}
