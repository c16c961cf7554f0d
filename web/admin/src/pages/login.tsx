import { useState } from 'preact/hooks';
import { logIn } from '../session';
import { Problem, Text, textOf } from '../ui';

export function LogInPage({ onLogIn }: { onLogIn(): void }) {
  const [password, setPassword] = useState('');
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError('');
    try {
      await logIn(password);
      onLogIn();
    } catch (e) {
      setError(textOf(e));
    } finally {
      setBusy(false);
    }
  };
  return (
    <main class="login">
      <form onSubmit={submit}>
        <h1>Centrifugo admin</h1>
        <Text label="Password" type="password" value={password} onValue={setPassword} required testid="password" />
        <Problem text={error} />
        <button class="primary" disabled={busy}>Log in</button>
      </form>
    </main>
  );
}
