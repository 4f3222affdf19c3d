import CommandSupport

CommandRunner.main(NNVerify.self)
