// Reads simulations as a JSON list from standard input, prints what IAM would say to each.
import { runSimulation } from '@cloud-copilot/iam-simulate'

let text = ''
for await (const chunk of process.stdin) text += chunk

const answers = []
for (const simulation of JSON.parse(text)) {
  const answer = await runSimulation({ serviceControlPolicies: [], resourceControlPolicies: [], ...simulation }, {})
  if (answer.resultType === 'error') throw new Error(JSON.stringify(answer.errors))
  answers.push(answer.overallResult)
}
console.log(JSON.stringify(answers))
